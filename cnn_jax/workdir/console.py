"""The console, which is not the run: a terminal that closes, or a reader that has gone, does not end it."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Console:
    """Standard output or error. Once a write fails, the run goes on and what it says goes to `log.txt` alone.

    Attributes:
        lost: whether a write has failed, or there was nobody from the start.

    Args:
        stream: the real one; None where a process was started without.
        outlived: whether the program goes on without it; else the error is raised.
        note: told the reason, once.
    """

    def __init__(self, stream: Any, *, outlived: Callable[[], bool], note: Callable[[str], Any]):
        self._stream = io.StringIO() if stream is None else stream
        self._outlived, self._note = outlived, note
        self.lost = stream is None

    def write(self, text: str) -> int:
        """Writes, if anybody is there."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flushes, if anybody is there."""
        self._try(self._stream.flush)

    def isatty(self) -> bool:
        """Whether somebody sees a terminal."""
        return not self.lost and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[], Any]) -> None:
        if self.lost:
            return
        try:
            action()
        except (OSError, ValueError) as error:
            if not self._outlived() or not (isinstance(error, OSError) or self._stream.closed):
                raise
            self.lost = True
            with contextlib.suppress(OSError, ValueError):  # what is left in the buffer has a place to go at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            with contextlib.suppress(OSError):  # of the disk, which the run meets itself
                self._note(f'the console is gone ({error}); the run goes on, and says the rest here')


@contextlib.contextmanager
def consoles(*, outlived: Callable[[], bool], note: Callable[[str], Any]) -> Iterator[None]:
    """Standard output and error are `Console`s while the block runs."""
    made: list[Any] = [Console(stream, outlived=outlived, note=note) for stream in (sys.stdout, sys.stderr)]
    with contextlib.redirect_stdout(made[0]), contextlib.redirect_stderr(made[1]):
        yield
