"""One training run a work folder, and a lock that ends with its process, however that ends."""

import os
import subprocess
import sys

import harness
import pytest

from cnn_jax.errors import StorageError
from cnn_jax.workdir.lock import WorkdirLock


def test_the_lock_names_its_holder_and_ends_with_it(tmp_path):
    """F16: the refusal says host, process and start time, exit 5. `test_kill` and `test_signals` have whole runs."""
    held = WorkdirLock(tmp_path)
    held.acquire()
    with pytest.raises(StorageError, match=rf'work folder in use: .*process {os.getpid()} on .*started') as caught:
        WorkdirLock(tmp_path).acquire()
    assert caught.value.exit_code == 5
    held.release()
    again = WorkdirLock(tmp_path)
    again.acquire()
    again.release()


def test_of_eight_that_start_together_one_gets_it(tmp_path):
    """F16: no gap between looking and taking."""
    code = f"""
import sys
from pathlib import Path
from cnn_jax.errors import StorageError
from cnn_jax.workdir.lock import WorkdirLock
print('ready', flush=True)
sys.stdin.readline()
lock = WorkdirLock(Path({str(tmp_path)!r}))
try:
    lock.acquire()
    print('mine', flush=True)
except StorageError:
    print('refused', flush=True)
sys.stdin.readline()
"""
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', code], cwd=harness.ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(8)
    ]
    said = []
    for line in ('ready', None):
        for process in processes:
            assert process.stdout is not None
            assert process.stdin is not None
            said.append(process.stdout.readline().strip())
            if line:
                assert said.pop() == line
        for process in processes:
            process.stdin.write('\n')  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
    for process in processes:
        process.communicate()
    assert sorted(said) == ['mine'] + ['refused'] * 7


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    """F16: a data worker that outlives a killed run must not lock its folder."""
    code = f"""
import os, sys, time
from pathlib import Path
from cnn_jax.workdir.lock import WorkdirLock
lock = WorkdirLock(Path({str(tmp_path)!r}))
lock.acquire()
child_is_up, up = os.pipe()
if os.fork() == 0:
    os.write(up, b'.')
    time.sleep(30)
    os._exit(0)
os.read(child_is_up, 1)
print('forked', flush=True)
os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == 'forked\n'
        process.wait(timeout=10)
        lock = WorkdirLock(tmp_path)
        lock.acquire()
        lock.release()
    finally:
        os.killpg(process.pid, 9)
        process.communicate()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    """F16: some network file systems know no flock."""
    monkeypatch.setattr('fcntl.flock', lambda file, how: (_ for _ in ()).throw(OSError(37, 'No locks available')))
    with pytest.raises(StorageError, match='No locks available'):
        WorkdirLock(tmp_path).acquire()
