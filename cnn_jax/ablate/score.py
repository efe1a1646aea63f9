"""What a run of a grid is compared by: one number from its `metrics.jsonl`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.whole_file import write_whole
from cnn_jax.workdir.log import read_metrics

OUTCOME = 'outcome.json'  # of a run that diverged
LAST_SHARE = 0.1  # of the training lines, whose mean stands for the end of training
WINDOW = 10  # lines of training that are averaged before they are compared with a target


class Metric(NamedTuple):
    """A number of a run.

    Attributes:
        name: as it is typed.
        title: for tables.
        unit: 'points' (hundredths), 'steps' or ''.
        higher_is_better: whether it is.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool

    @property
    def scale(self) -> float:
        """What a value is multiplied with to be shown in its unit."""
        return 100.0 if self.unit == 'points' else 1.0

    def signed(self, difference: float) -> float:
        """The difference, positive where it is an improvement."""
        return difference if self.higher_is_better else -difference

    def show(self, value: float, *, sign: bool = False) -> str:
        """A value or difference in the metric's unit, without the unit."""
        shape = {'points': '.2f', 'steps': '.0f', '': '.4f'}[self.unit]
        return f'{value * self.scale:{"+" if sign else ""}{shape}}' if np.isfinite(value) else '-'


METRICS = {
    metric.name: metric
    for metric in (
        Metric('top1', 'test accuracy, %', 'points', True),
        Metric('top5', 'test accuracy (top-5), %', 'points', True),
        Metric('loss', 'test loss', '', False),
        Metric('train_top1', 'training accuracy at the end, %', 'points', True),
        Metric('train_loss', 'training loss at the end', '', False),
    )
}
STEPS_TO = 'steps_to_train_top1'


def metric_of(name: str) -> Metric:
    """The metric of that name; 'steps_to_train_top1=0.75' counts the steps to that training accuracy.

    Raises:
        CnnJaxError: there is no such metric.
    """
    if name in METRICS:
        return METRICS[name]
    kind, _, target = name.partition('=')
    try:
        if kind == STEPS_TO and 0 < float(target) < 1:
            return Metric(name, f'steps to {100 * float(target):g} % training accuracy', 'steps', False)
    except ValueError:
        pass
    raise CnnJaxError(unknown('metric', name, [*METRICS, f'{STEPS_TO}=0.75']))


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        state: 'finished', 'diverged', 'begun' or 'absent'.
        lines: of its `metrics.jsonl`.
    """

    state: str
    lines: list[dict[str, Any]]

    @property
    def seconds(self) -> float:
        """Of training; not a number where nothing was logged."""
        return float(self.lines[-1]['seconds']) if self.lines else float('nan')


def read_outcome(run: Path, num_steps: int) -> Outcome:
    """How far the run in a folder has come; it is finished if it was evaluated after its last step."""
    lines = read_metrics(run)
    if (run / OUTCOME).exists():
        return Outcome('diverged', lines)
    evaluated = any(line['split'] == 'test' and line['step'] == num_steps for line in lines)
    return Outcome('finished' if evaluated else 'begun' if (run / 'config.json').exists() else 'absent', lines)


def note_diverged(run: Path, reason: str) -> None:
    """Remembers that training this run again would diverge again."""
    write_whole(run / OUTCOME, json.dumps({'state': 'diverged', 'reason': reason}) + '\n')


def score(lines: Sequence[dict[str, Any]], metric: Metric) -> float:
    """The metric of a finished run; not a number if it was not logged."""
    split, name = ('train', metric.name.removeprefix('train_')) if 'train' in metric.name else ('test', metric.name)
    if metric.unit == 'steps':
        name = 'top1'
    rows = [(line['step'], line[name]) for line in lines if line['split'] == split and line.get(name) is not None]
    if not rows:
        return float('nan')
    steps, values = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], float)
    if metric.unit == 'steps':
        return float(steps_to(steps, values, float(metric.name.partition('=')[2])))
    if split == 'train':
        return float(values[-max(1, round(LAST_SHARE * len(values))) :].mean())
    return float(values[-1])


def steps_to(steps: np.ndarray, values: np.ndarray, target: float) -> int:
    """The first step at which the mean of the last WINDOW values has reached the target; the last step if it never has.

    steps, values: (lines,).
    """
    sums = np.cumsum(values)
    window = min(WINDOW, len(values))
    means = (sums[window - 1 :] - np.concatenate([[0.0], sums[:-window]])) / window
    reached = np.flatnonzero(means >= target - 1e-12)
    return int(steps[window - 1 + reached[0]] if len(reached) else steps[-1])
