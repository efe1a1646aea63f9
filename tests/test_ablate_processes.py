"""Processes that share a grid: their lines are said by the one that started them, and the runs are counted."""

import signal
import subprocess
import sys

import pytest
from stop_at import StopAt

from cnn_jax.ablate import processes
from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.errors import CnnJaxError
from cnn_jax.workdir.log import Log

RUNS = 'import time; print("1/4  a/seed_0  0.5 s", flush=True); print("a note", flush=True); time.sleep(0.3)'


@pytest.fixture
def as_worker(monkeypatch):
    """Each process runs a line of Python in the place of its part of the grid."""

    def stand_in(code):
        def start(command, environment, cores):
            return subprocess.Popen(
                [sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, process_group=0, encoding='utf-8'
            )

        monkeypatch.setattr(processes, '_start', start)

    return stand_in


def test_lines_of_all_processes_are_said_here_and_runs_are_counted(as_worker, tmp_path, capsys, monkeypatch):
    counted = []
    monkeypatch.setattr(processes.Task, 'finish', lambda task: counted.append(str(task)))
    as_worker(RUNS)
    processes.share(tmp_path, 2, [], runs=4, stop=StopRequest(), log=Log(None))
    lines = capsys.readouterr().out.splitlines()
    assert lines.count('1/4  a/seed_0  0.5 s') == 2
    assert lines.count('a note') == 2
    assert len(counted) == 2


def test_a_stop_reaches_all_of_them_and_no_line_is_lost(as_worker, tmp_path, capsys):
    as_worker(
        'import signal, sys, time; end = lambda *_: (print("saved", flush=True), sys.exit(0)); '
        'signal.signal(signal.SIGTERM, end); print("ready", flush=True); time.sleep(60)'
    )
    stop = StopAt(5)
    with pytest.raises(Stopped) as caught:
        processes.share(tmp_path, 2, [], runs=4, stop=stop, log=Log(None))
    assert caught.value.signal_number == signal.SIGTERM
    said = capsys.readouterr().out
    assert said.count('saved') == said.count('ready')


def test_a_process_that_fails_is_an_error(as_worker, tmp_path):
    as_worker('import sys; sys.exit(5)')
    with pytest.raises(CnnJaxError, match='2 of 2 processes failed') as caught:
        processes.share(tmp_path, 2, [], runs=4, stop=StopRequest(), log=Log(None))
    assert caught.value.exit_code == 5
