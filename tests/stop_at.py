"""A stop at a known place."""

import signal

from cnn_jax.devices.stop import StopRequest


class StopAt(StopRequest):
    """A signal that comes at the n-th poll; the n-th poll of a run without evaluations is before step n."""

    def __init__(self, polls: int):
        super().__init__()
        self.polls = polls

    def poll(self, message: str, *, step: int | None = None) -> None:
        self.polls -= 1
        if self.polls < 0:
            self.signal_number = signal.SIGTERM
        super().poll(message, step=step)
