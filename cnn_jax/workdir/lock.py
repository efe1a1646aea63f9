"""One training run a work folder: a lock that dies with the process that holds it."""

import os
import socket
import time
from pathlib import Path

from cnn_jax.errors import StorageError
from cnn_jax.files import lock as file_lock
from cnn_jax.files.whole import not_through_links


class WorkdirLock:
    """Holds `workdir/LOCK` from `acquire` until `release` or the end of the process, however it ends.

    The lock belongs to the open file, and a forked child (a data worker) inherits it: the child would keep the lock
    after the parent is killed, so it closes its copy at once.
    """

    def __init__(self, workdir: Path):
        self._path = workdir / 'LOCK'
        self._file: int | None = None
        if hasattr(os, 'register_at_fork'):  # Windows has no forks
            os.register_at_fork(after_in_child=self.release)

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            StorageError: another run holds it; the line says which host, process and since when. Or the file system
                has no locks.
        """
        try:
            file = not_through_links(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:  # a link, a folder, a file of another user
            raise StorageError(
                f'cannot open {self._path}: {error.strerror}; remove it, or use another --workdir'
            ) from error
        try:
            file_lock.take(file)
            os.ftruncate(file, 0)
        except BlockingIOError:
            holder = os.read(file, 1000).decode(errors='replace').strip() or 'an unknown process'
            os.close(file)
            raise StorageError(
                f'work folder in use: {self._path.parent}; {holder} trains there; wait for it, or use another --workdir'
            ) from None
        except OSError as error:
            os.close(file)
            raise StorageError(
                f'work folder cannot be locked: {self._path.parent}; {error.strerror}; use a --workdir on another disk'
            ) from error
        started = time.strftime('%Y-%m-%d %H:%M:%S')
        os.write(file, f'process {os.getpid()} on {socket.gethostname()}, started {started},'.encode())
        self._file = file

    def release(self) -> None:
        """Lets go; without the lock it does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def is_held(workdir: Path) -> bool:
    """Whether a run trains in a work folder now; False too where the file system has no locks.

    A free lock is taken and let go again at once, for there is no other way to ask; a held one is not touched.
    """
    try:
        file = not_through_links(workdir / 'LOCK', os.O_RDWR)
    except OSError:  # nothing ever trained here, or we may not write here
        return False
    try:
        file_lock.take(file)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False
