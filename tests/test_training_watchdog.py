"""The watchdog counts the time that the process ran, and no other."""

import time

import pytest

from cnn_jax.training import watchdog
from cnn_jax.workdir.log import Log


class Clock:
    """A monotonic clock that a test may put on, as a stopped process and a closed lid do."""

    def __init__(self):
        self.gap = 0.0

    def __call__(self):
        return time.perf_counter() + self.gap


@pytest.fixture
def watching(monkeypatch):
    """A clock, and the seconds after which the watchdog gave up."""
    clock, gave_up = Clock(), []
    monkeypatch.setattr(watchdog, 'LEAST_SECONDS', 0.2)
    monkeypatch.setattr(watchdog.time, 'monotonic', clock)
    monkeypatch.setattr(watchdog.Watchdog, '_give_up', lambda self, seconds: gave_up.append(seconds))
    return clock, gave_up


def test_a_gap_in_which_nothing_ran_is_no_hang(watching):
    clock, gave_up = watching
    with watchdog.Watchdog(Log(None)) as watched:
        for _ in range(6):
            watched.beat()
            clock.gap += 10_000
            time.sleep(0.08)
    assert gave_up == []


def test_a_step_that_does_not_end_is_one(watching):
    _, gave_up = watching
    with watchdog.Watchdog(Log(None)) as watched:
        watched.beat()
        time.sleep(1)
    assert gave_up
    assert gave_up[0] >= 0.2
