"""The best evaluation of a run so far, and the checkpoint of it: `checkpoints/best`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.statistics.metric import Metric
from cnn_jax.training.which import BEST
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.identity import identity

MOST = 1000  # of them; `Choice` removes those that are not wanted


def best_checkpoints(workdir: Path) -> Checkpoints:
    """The checkpoints of the best states of a run: the last is the best of all."""
    aside = workdir / 'rejected_checkpoints' / BEST
    return Checkpoints(workdir / 'checkpoints' / BEST, keep=MOST, aside=aside, run=identity(workdir))


def idle_patience(patience: int, *, num_steps: int, evaluate_every: int) -> str | None:
    """A line on a patience that cannot end a run, which is evaluated too seldom before its last step; None: it can.

    The first evaluation is the best so far, so that `patience` worse ones are one evaluation more.
    """
    found = (num_steps - 1) // evaluate_every
    if found > patience:
        return None
    return (
        f'warning: patience {patience} cannot end this run: it takes {patience + 1} evaluations before the last step, '
        f'and every {evaluate_every} of {num_steps} steps there are {found}; evaluate more often, or train longer. The '
        'result is the best checkpoint all the same'
    )


class Choice:
    """Which evaluation of the validation split is the best, and how many there were since.

    The headline metric decides, of equal ones the lower loss, of these the earlier. It is a pure function of what was
    logged: a run that resumes goes on with the choice that it had.

    Args:
        headline: of the task.
        checkpoints: of the best states.
        lines: the evaluations up to the step where the run stands.
        patience: how many evaluations without a better one end the run; None: none do.
    """

    def __init__(
        self,
        headline: Metric,
        checkpoints: Checkpoints,
        lines: Iterable[Mapping[str, Any]] = (),
        patience: int | None = None,
    ):
        self._headline, self._patience = headline, patience
        self.checkpoints = checkpoints
        self.step: int | None = None
        self._best: tuple[float, float] | None = None
        self._since = 0
        for line in lines:
            self.offer(line['step'], line)

    def offer(self, step: int, summary: Mapping[str, Any]) -> bool:
        """Takes an evaluation into account; whether it is the best so far."""
        found = self._rank(summary)
        if self._best is not None and found <= self._best:
            self._since += 1
            return False
        self._best, self.step, self._since = found, step, 0
        return True

    def _rank(self, summary: Mapping[str, Any]) -> tuple[float, float]:
        """The larger the better; what is not a number is worst."""
        value, loss = (summary.get(name) for name in (self._headline.name, 'loss'))
        ranks = (None if value is None else self._headline.signed(value), None if loss is None else -loss)
        first, second = (-math.inf if rank is None or math.isnan(rank) else float(rank) for rank in ranks)
        return first, second

    def save(self, step: int, state: Any, regular: Sequence[int]) -> None:
        """Starts to write the state of the best evaluation; `regular` are the steps that the run can resume from.

        Raises:
            StorageError: it cannot be written, or the one before could not.
        """
        self.checkpoints.wait()
        self.tidy(regular)
        self.checkpoints.save(step, state)

    def tidy(self, regular: Sequence[int]) -> None:
        """Removes what is no longer wanted: a run that resumes must find the best state of before."""
        before = [step for step in self.checkpoints.steps() if regular and step <= regular[-1]]
        if before:
            self.checkpoints.discard_before(before[-1])

    @property
    def exhausted(self) -> bool:
        """Whether the run has waited for a better evaluation as long as it was to."""
        return self._patience is not None and self._since >= self._patience

    @property
    def is_saved(self) -> bool:
        """Whether the state of the best evaluation has a checkpoint."""
        return self.step is None or self.step in self.checkpoints.steps()
