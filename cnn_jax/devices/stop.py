"""A polite end on SIGTERM, SIGHUP and Ctrl-C: the signal raises a flag, the run polls it where it can save."""

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType

STOPPING = b'stopping; a second signal ends the process at once\n'
HANG_UP = getattr(signal, 'SIGHUP', None)  # the terminal was closed; Windows has none


def numbers() -> list[signal.Signals]:
    """The signals that ask for an end. SIGHUP is none of them where it is ignored, as under `nohup`."""
    found = [signal.SIGTERM, signal.SIGINT]
    if HANG_UP is not None and signal.getsignal(HANG_UP) != signal.SIG_IGN:
        found.append(HANG_UP)
    return found


class Stopped(Exception):
    """The run ended early because it was asked to.

    Attributes:
        signal_number: which signal asked.
        exit_code: 143 after SIGTERM, 130 after Ctrl-C, 129 after SIGHUP, as shells and schedulers expect.
    """

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class StopRequest:
    """Listens for the signals that ask for an end. The first is remembered, the second ends the process at once.

    A terminal that closes may send SIGHUP several times, or after a SIGTERM: it is never a second signal.

    Attributes:
        signal_number: of the signal that came; None before.
        agreed: with several processes, whether all of them stop the n-th time that a step is polled. SIGTERM is then
            JAX's, which tells the others, and must not be handled here.
    """

    def __init__(self):
        self.signal_number: int | None = None
        self.agreed: Callable[[int], bool] | None = None
        self._steps_polled = 0  # not their numbers: a run that goes on begins at any step, and an ablation often

    def listen(self) -> None:
        """Installs the handlers; only the main thread may."""
        for number in numbers():
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == HANG_UP and self.signal_number is not None:
            return
        self.signal_number = number
        with contextlib.suppress(OSError):  # the terminal is closed
            if os.isatty(2):  # a person waits there; what is kept has one line about the end
                os.write(2, STOPPING)  # no print, which the signal may have come in the middle of
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.agreed is not None:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def end_at_once(self) -> None:
        """A signal ends the process, as one that handles none: for a wait in C++, during which no handler runs."""
        for number in numbers():
            signal.signal(number, signal.SIG_DFL)
        self.poll('stopped before the processes joined; run the same command to start')

    def agree(self, agreed: Callable[[int], bool]) -> None:
        """From here on all processes stop together, and SIGTERM is JAX's."""
        self.agreed = agreed
        for number in numbers():
            if number != signal.SIGTERM:
                signal.signal(number, self._remember)

    def poll(self, message: str, *, step: int | None = None) -> None:
        """Raises Stopped with `message` if it is time to stop.

        Args:
            step: the number of the training step that comes next; several processes stop only where one is given.
        """
        came = self.signal_number is not None
        if self.agreed is not None:
            self._steps_polled += step is not None
            came = step is not None and self.agreed(self._steps_polled)
        if came:
            raise Stopped(self.signal_number or signal.SIGTERM, message)
