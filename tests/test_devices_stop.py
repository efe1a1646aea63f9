"""Signals that ask for an end, while several processes join and after: none is lost."""

import os
import signal
import subprocess
import sys

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


def test_a_signal_is_answered_at_once_though_the_end_takes_its_time(signal_handlers, capfd, monkeypatch):
    monkeypatch.setattr(os, 'isatty', lambda number: True)
    StopRequest().listen()
    os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err == 'stopping; a second signal ends the process at once\n'


def test_a_terminal_that_is_closed_hears_nothing_and_breaks_nothing(signal_handlers, monkeypatch):
    def closed(number, text):
        raise OSError('closed')

    stop = StopRequest()
    stop.listen()
    monkeypatch.setattr(os, 'isatty', lambda number: True)
    monkeypatch.setattr(os, 'write', closed)
    os.kill(os.getpid(), signal.SIGHUP)
    assert stop.signal_number == signal.SIGHUP


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP])
def test_after_they_joined_all_are_told(number, signal_handlers):
    stop, told = StopRequest(), []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))  # as JAX does, which tells the others
    stop.agree(lambda asked: asked == 2)
    os.kill(os.getpid(), number)
    assert told == [signal.SIGTERM]
    stop.poll('between steps')
    stop.poll('', step=352)
    with pytest.raises(Stopped) as caught:
        stop.poll('', step=353)
    assert caught.value.exit_code == 128 + number


TOLD_BEFORE_ITS_FIRST_STEP = """
import os, signal, socket, sys, time
from cnn_jax.devices import processes
from cnn_jax.devices.stop import Stopped, StopRequest

with socket.socket() as probe:
    probe.bind(('localhost', 0))
    port = probe.getsockname()[1]
os.environ.update(JAX_COORDINATOR_ADDRESS=f'localhost:{port}', JAX_NUM_PROCESSES='1', JAX_PROCESS_ID='0')
stop = StopRequest()
processes.join()
stop.agree(processes.reached_common_stop)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(2)  # JAX looks for the signal each second
try:
    for step in range(352, 400):
        stop.poll('saved', step=step)
        time.sleep(0.1)
except Stopped as stopped:
    sys.exit(stopped.exit_code)
"""


def test_processes_that_are_told_before_their_first_step_stop():
    # A run that goes on begins at a high step; JAX's processes agree on the one behind the highest, which is then 0.
    ended = subprocess.run(
        [sys.executable, '-c', TOLD_BEFORE_ITS_FIRST_STEP], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 143, ended.stderr
