"""The end of a run that stands still: another process is stuck but alive, a disk hangs, a data thread never returns."""

import contextlib
import faulthandler
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator

from cnn_jax.errors import PeerError
from cnn_jax.workdir.log import Log

LEAST_SECONDS = 600.0  # no step may take longer, unless
TIMES = 20  # times the median of the last steps is more


class Watchdog:
    """Ends the process with exit code 6 when training steps stop coming; where it stood is in `log.txt`.

    The first step (it compiles), evaluations and saves are not watched. Time in which the process did not run, stopped
    by a signal or asleep with its machine, does not count. A thread that is stuck in the runtime cannot be raised an
    error in, so the process ends at once; the checkpoints are whole at any time.
    """

    def __init__(self, log: Log):
        self._log = log
        self._steps: deque[float] = deque(maxlen=100)
        self._last: float | None = None  # None: not watching
        self._resting = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> 'Watchdog':
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def beat(self) -> None:
        """A step has been done."""
        now = time.monotonic()
        if self._last is not None:
            self._steps.append(now - self._last)
        self._last = now

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Around what may take any time."""
        last, self._last = self._last, None
        try:
            yield
        finally:
            self._last = None if last is None else time.monotonic()

    def limit(self) -> float:
        """Seconds that a step may take."""
        return max(LEAST_SECONDS, TIMES * statistics.median(self._steps) if self._steps else 0.0)

    def _watch(self) -> None:
        """Wakes often: of a longer gap between two wakings the rest is time in which nothing of the process ran."""
        tick = min(1.0, LEAST_SECONDS / 4)
        now, seen, ran = time.monotonic(), None, 0.0
        while not self._end.wait(tick):
            before, now = now, time.monotonic()
            last = self._last
            ran = ran + min(now - before, 2 * tick) if last is not None and last == seen else 0.0
            seen = last
            if ran > self.limit():
                self._give_up(ran)

    def _give_up(self, seconds: float) -> None:
        line = (
            f'cnn_jax: error: no training step has ended for {seconds:.0f} s: another process, a disk or a data thread '
            'is stuck; start the same command again to go on from the last checkpoint'
        )
        with contextlib.suppress(OSError, ValueError):  # the console may be gone
            print(line, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            self._log.note(line)
            with tempfile.TemporaryFile('w+') as stacks:
                faulthandler.dump_traceback(stacks)
                stacks.seek(0)
                self._log.note(stacks.read())
        os._exit(PeerError.exit_code)
