"""A polite end on SIGTERM and Ctrl-C: the signal raises a flag, the run polls it where it can save."""

import signal
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
    """Listens for SIGTERM and SIGINT. The first is remembered, the second ends the process at once."""

    def __init__(self):
        self.signal_number: int | None = None

    def listen(self) -> None:
        """Installs the handlers; only the main thread may."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        for again in (signal.SIGTERM, signal.SIGINT):
            signal.signal(again, signal.SIG_DFL)

    def poll(self, message: str) -> None:
        """Raises Stopped with `message` if a signal has come."""
        if self.signal_number is not None:
            raise Stopped(self.signal_number, message)
