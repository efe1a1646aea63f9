"""Locks on open files, which end with the process that holds them: `flock`, on Windows `msvcrt.locking`.

The library filelock was looked at. On Windows it locks the first byte, and there nobody else can read a locked byte;
but who holds a lock stands in its file.
"""

import contextlib
import errno
import importlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnn_jax.files.whole import not_through_links

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FAR = 1 << 30  # the byte that is locked on Windows, behind all that a lock file holds
HELD = (errno.EACCES, errno.EDEADLK)  # what Windows says of a byte that another process has locked
RETRY_SECONDS = 0.1


def take(file: int, *, wait: bool = False) -> None:
    """Locks an open file until it is closed, or until the process ends.

    Args:
        file: its descriptor.
        wait: until another process lets go.

    Raises:
        BlockingIOError: another process holds it, and there is no `wait`.
        OSError: the file system, or this Python, has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return
    while not _taken_on_windows(file):
        if not wait:
            raise BlockingIOError(errno.EACCES, 'another process holds the lock')
        time.sleep(RETRY_SECONDS)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Holds the lock of a file, which is made, while the block runs; waits for it.

    False where the file system has no locks. Raises OSError where the file cannot be made.
    """
    file = not_through_links(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            take(file, wait=True)
            locked = True
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(file)


def _taken_on_windows(file: int) -> bool:
    """Tries once."""
    try:
        msvcrt: Any = importlib.import_module('msvcrt')
    except ImportError as error:
        raise OSError(errno.ENOLCK, 'this Python has no file locks') from error
    place = os.lseek(file, 0, os.SEEK_CUR)
    os.lseek(file, FAR, os.SEEK_SET)
    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        return True
    except OSError as error:
        if error.errno not in HELD:
            raise
        return False
    finally:
        os.lseek(file, place, os.SEEK_SET)
