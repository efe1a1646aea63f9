"""Signals that ask for an end, while several processes join and after: none is lost."""

import os
import signal

import pytest

from cnn_jax.devices.stop import Stopped, StopRequest, numbers


def test_while_processes_join_a_signal_ends_the_process(signal_handlers):
    stop = StopRequest()
    stop.listen()
    stop.end_at_once()
    assert {signal.getsignal(number) for number in numbers()} == {signal.SIG_DFL}


def test_a_signal_that_came_before_is_not_lost(signal_handlers):
    stop = StopRequest()
    stop.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Stopped) as caught:
        stop.end_at_once()
    assert caught.value.exit_code == 143


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP])
def test_after_they_joined_all_are_told(number, signal_handlers):
    stop, told = StopRequest(), []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))  # as JAX does, which tells the others
    stop.agree(lambda step: step == 3)
    os.kill(os.getpid(), number)
    assert told == [signal.SIGTERM]
    stop.poll('', step=2)
    with pytest.raises(Stopped) as caught:
        stop.poll('', step=3)
    assert caught.value.exit_code == 128 + number
