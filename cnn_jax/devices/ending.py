"""The end of a process, in seconds, whatever threads the libraries have left behind."""

import contextlib
import os
import sys
import threading
from typing import NoReturn

from cnn_jax.errors import PeerError

GOODBYE_SECONDS = 10.0  # for the other processes of a run to end too


def end(code: int) -> NoReturn:
    """Ends the process with an exit code.

    After a save that failed, threads of Orbax wait for each other, and Python for them: 338 s and more (measured). So
    an error, or a thread that is left, ends the process at once; all that is to be kept is on the disk by then.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, or nobody reads it
            stream.flush()
    if not code and threading.active_count() == 1:
        sys.exit(code)
    if code != PeerError.exit_code:  # else the runtime would wait for the lost process, and then abort
        _say_goodbye()
    os._exit(code)


def _say_goodbye() -> None:
    """Leaves the other processes of the run, if there are any, so that they need not take this one for lost."""
    jax = sys.modules.get('jax')
    if jax is None or not jax.distributed.is_initialized():
        return
    with contextlib.suppress(RuntimeError):  # no more threads
        leaving = threading.Thread(target=_leave, args=(jax,), daemon=True)
        leaving.start()
        leaving.join(GOODBYE_SECONDS)


def _leave(jax) -> None:
    with contextlib.suppress(Exception):  # the others may have gone; there is nobody left to be told
        jax.distributed.shutdown()
