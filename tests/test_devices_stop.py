"""Signals that ask for an end: none is lost while processes join."""

import os
import signal

import pytest

from cnn_jax.devices.stop import Stopped, StopRequest


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_comes_while_processes_join_is_told_to_all(number, signal_handlers):
    stop, told = StopRequest(), []
    stop.listen()
    os.kill(os.getpid(), number)
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))  # as JAX does, which tells the others
    assert not told
    stop.agree(lambda step: step == 3)
    assert told == [signal.SIGTERM]
    stop.poll('', step=2)
    with pytest.raises(Stopped) as caught:
        stop.poll('', step=3)
    assert caught.value.exit_code == 128 + number


def test_a_signal_after_they_joined_is_told_once(signal_handlers):
    stop, told = StopRequest(), []
    stop.listen()
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    stop.agree(lambda step: False)
    assert not told
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)
    assert told == [signal.SIGTERM]
