"""One run in the loop of training: what it has of its own, beside the state and the program that all share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax

from cnn_jax.devices import mapping, processes
from cnn_jax.devices.feed import Feed
from cnn_jax.errors import DivergedError, StorageError
from cnn_jax.steps.state import TrainState
from cnn_jax.tasks.results import Evaluation
from cnn_jax.training.choice import Choice
from cnn_jax.training.replay import Replay
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.history import History
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.openings import count_opening


@dataclass
class Lane:
    """What a run in the loop has of its own.

    Attributes:
        workdir: its folder.
        setup: its experiment on the devices.
        feed: its data.
        checkpoints: where its state is saved.
        log: who is told.
        replay: looks at its steps that went wrong.
        choice: its best evaluation of the validation split; None where it has no such split.
        history: its variables at a few steps, for pictures; None where it keeps none.
        evaluated: what its log already has an evaluation of: (step, split).
        saved: the step that was saved last.
        num_skipped: steps that changed nothing.
        ended: the step at which its patience was at an end.
        diverged: why it ended early; only where several runs advance together, alone it is raised.
    """

    workdir: Path
    setup: Setup
    feed: Feed
    checkpoints: Checkpoints
    log: Log
    replay: Replay
    choice: Choice | None
    history: History | None
    evaluated: set[tuple[int, str]]
    saved: int | None = None
    num_skipped: int = 0
    ended: int | None = None
    diverged: DivergedError | None = None

    @property
    def split(self) -> str:
        """The split that it is evaluated on while it trains."""
        return self.setup.experiment.data.choosing_split

    def record(self, step: int, seconds: float, evaluations: Mapping[str, Evaluation]) -> None:
        """Counts a look at the test split, logs evaluations, and remembers that they are there."""
        if 'test' in evaluations:
            with jax.transfer_guard_host_to_device('allow'):  # by which processes wait for each other
                processes.main_process_first(
                    lambda: count_opening(self.workdir, step=step, by='train', report=self.log.note)
                )
        for split, evaluation in evaluations.items():
            if (step, split) not in self.evaluated:
                self.log.metrics(step, split, seconds, **evaluation.summary)
                self.evaluated.add((step, split))

    def remember(self, step: int, state: TrainState) -> None:
        """Keeps the variables of a step in its history; what cannot be written is a warning: pictures can wait."""
        if self.history is None:
            return
        with jax.transfer_guard_host_to_device('allow'):  # by which processes give each other their pieces
            variables = mapping.fetch(state.variables)
        try:
            if processes.is_main_process():
                self.history.save(step, variables)
        except StorageError as error:
            self.log.say(f'warning: {error}; training goes on without step {step} in its history')
