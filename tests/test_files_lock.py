"""Locks where there is no fcntl: Windows's, and what a Python without any does. `faults/test_lock.py` has flock."""

import errno
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from cnn_jax.errors import StorageError
from cnn_jax.files import lock as file_lock
from cnn_jax.workdir.lock import WorkdirLock

ROOT = Path(__file__).parent.parent


@pytest.fixture
def windows(monkeypatch):
    """No fcntl; a msvcrt that locks bytes of files, as Windows does: until the descriptor is closed."""
    held: dict[tuple[int, int], int] = {}

    def locking(file, mode, count):
        assert (mode, count) == (0, 1)
        byte = (os.fstat(file).st_ino, os.lseek(file, 0, os.SEEK_CUR))
        if held.get(byte, file) != file and _is_open(held[byte]):
            raise OSError(errno.EACCES, 'Permission denied')
        held[byte] = file

    monkeypatch.setattr(file_lock, 'fcntl', None)
    monkeypatch.setitem(sys.modules, 'msvcrt', types.SimpleNamespace(locking=locking, LK_NBLCK=0))
    return held


def _is_open(file):
    try:
        os.fstat(file)
        return True
    except OSError:
        return False


def test_a_folder_is_held_and_its_holder_can_be_read(tmp_path, windows):
    lock = WorkdirLock(tmp_path)
    lock.acquire()
    ((_, byte),) = windows
    assert byte > 1000, 'behind the text, which others must be able to read'
    with pytest.raises(StorageError, match=rf'in use: .*process {os.getpid()} on .*started'):
        WorkdirLock(tmp_path).acquire()
    lock.release()
    again = WorkdirLock(tmp_path)
    again.acquire()
    again.release()


def test_waiting_ends_when_the_other_lets_go(tmp_path, windows, monkeypatch):
    first, second = (os.open(tmp_path / 'LOCK', os.O_RDWR | os.O_CREAT) for _ in range(2))
    file_lock.take(first)
    waits = []
    monkeypatch.setattr(file_lock.time, 'sleep', lambda seconds: (waits.append(seconds), os.close(first)))
    file_lock.take(second, wait=True)
    assert len(waits) == 1
    os.close(second)


def test_a_disk_that_refuses_is_not_taken_for_a_held_lock(tmp_path, windows, monkeypatch):
    def refuse(file, mode, count):
        raise OSError(errno.EINVAL, 'Invalid argument')

    monkeypatch.setattr(sys.modules['msvcrt'], 'locking', refuse)
    with pytest.raises(StorageError, match='cannot be locked'):
        WorkdirLock(tmp_path).acquire()


# As `sys.modules` and `os` are on Windows, so far as a Python on another system bears it.
HIDE = """
import os, subprocess, sys
for name in ('fcntl', 'resource', 'termios', 'grp', 'array_record'):
    sys.modules[name] = None
for name in ('register_at_fork', 'sched_getaffinity', 'sched_setaffinity', 'sysconf', 'getuid', 'fork'):
    if hasattr(os, name):
        delattr(os, name)
"""


def test_all_modes_but_training_work_without_fcntl(tmp_path):
    """And training, where msvcrt is there: `.ci/tour.py` is what the Windows job of the workflow runs."""
    tour = ROOT / '.ci' / 'tour.py'
    lines = [
        HIDE,
        'import runpy, types',
        'sys.modules["msvcrt"] = types.SimpleNamespace(locking=lambda file, mode, count: None, LK_NBLCK=0)',
        f'sys.argv = ["tour.py", {str(tmp_path)!r}]',
        f'runpy.run_path({str(tour)!r}, run_name="__main__")',
    ]
    code = '\n'.join(lines)
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'TFDS_DATA_DIR': str(tmp_path / 'data')}
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ('imported without JAX', 'test accuracy', '61,706', 'of 360)', 'filters.png'):
        assert words in done.stdout
