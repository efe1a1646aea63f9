"""Where a run left the finite numbers: trained again from its last good checkpoint, and followed through the net."""

from collections.abc import Callable
from typing import Any

import jax

from cnn_jax.devices.feed import Feed
from cnn_jax.steps.state import TrainState
from cnn_jax.training import not_finite
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.log import Log

MOST_REPLAYED = 2000  # steps from the last good checkpoint to one that went wrong, to look at it again


class Replay:
    """Looks at steps that went wrong.

    Args:
        setup: of the run.
        feed: its data.
        start: gives the state of its newest good checkpoint; where there is none, the first.
        log: gets the rows of the batch.
    """

    def __init__(self, setup: Setup, feed: Feed, start: Callable[[], TrainState], log: Log):
        self._setup, self._feed, self._start, self._log = setup, feed, start, log

    def find(self, number: int) -> str:
        """Trains again up to step `number`, which repeats it bit for bit, and says where it went wrong."""
        with jax.transfer_guard_host_to_device('allow'):  # of several runs the others still train
            state: Any = self._start()
            first = int(jax.device_get(state.step))
            if number - 1 - first <= MOST_REPLAYED:
                for step in range(first, number - 1):
                    state, _ = self._setup.train_step(state, self._feed.train(step))
            return self.explain(state, number)

    def explain(self, state: TrainState, number: int) -> str:
        """Where step `number`, counted from 1, leaves the finite numbers; `state` is the one before it."""
        with jax.transfer_guard_host_to_device('allow'):
            origin = not_finite.find_origin(self._setup, state, self._feed.train(number - 1))
        self._log.note(f'the batch of step {number} is images {origin.batch.tolist()}')
        return f'; {origin}'
