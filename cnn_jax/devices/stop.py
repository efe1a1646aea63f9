"""A polite end on SIGTERM and Ctrl-C: the signal raises a flag, the run polls it where it can save."""

import os
import signal
from collections.abc import Callable
from types import FrameType


class Stopped(Exception):
    """The run ended early because it was asked to.

    Attributes:
        signal_number: which signal asked.
        exit_code: 143 after SIGTERM, 130 after Ctrl-C, as shells and schedulers expect.
    """

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class StopRequest:
    """Listens for SIGTERM and SIGINT. The first is remembered, the second ends the process at once.

    Attributes:
        signal_number: of the signal that came; None before.
        agreed: with several processes, whether all of them stop at a given step. SIGTERM is then JAX's, which tells
            the others, and must not be handled here.
    """

    def __init__(self):
        self.signal_number: int | None = None
        self.agreed: Callable[[int], bool] | None = None

    def listen(self) -> None:
        """Installs the handlers; only the main thread may."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.agreed is not None:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def poll(self, message: str, *, step: int | None = None) -> None:
        """Raises Stopped with `message` if it is time to stop.

        Args:
            step: the number of the training step that comes next; several processes stop only where one is given.
        """
        came = self.signal_number is not None
        agreed = self.agreed
        if came if agreed is None else step is not None and agreed(step):
            raise Stopped(self.signal_number or signal.SIGTERM, message)
