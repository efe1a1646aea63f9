"""What a run of a grid is compared by: one number from its `metrics.jsonl`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks import classification
from cnn_jax.tasks.task import Task
from cnn_jax.workdir import outcome
from cnn_jax.workdir.log import read_metrics

EVALUATED = ('test', 'validation')  # the splits of which one is evaluated in the end
LAST_SHARE = 0.1  # of the training lines, whose mean stands for the end of training
WINDOW = 10  # lines of training that are averaged before they are compared with a target


STEPS_TO = 'steps_to_train_'


def metrics_of(task: Task, split: str = 'test') -> dict[str, Metric]:
    """What runs of a task may be compared by: its metrics of a split, and those of training with 'train_'."""
    test = [_titled(metric, f'{split} {metric.title}') for metric in task.metrics]
    train = [
        _titled(metric._replace(name=f'train_{metric.name}'), f'training {metric.title} at the end')
        for metric in (*task.batch_metrics, LOSS)
    ]
    return {metric.name: metric for metric in (*test, *train)}


def metric_of(name: str, task: Task | None = None, split: str = 'test') -> Metric:
    """The metric of that name; 'steps_to_train_top1=0.75' counts the steps to that value of a share in training.

    task: whose metrics they are; None: classification.
    split: what they are measured on, for the title.

    Raises:
        CnnJaxError: there is no such metric.
    """
    task = classification.task() if task is None else task
    known = metrics_of(task, split)
    if name in known:
        return known[name]
    shares = {f'{STEPS_TO}{metric.name}': metric for metric in task.batch_metrics if metric.unit == 'points'}
    kind, _, target = name.partition('=')
    try:
        if kind in shares and 0 < float(target) < 1:
            title = f'steps to {100 * float(target):g} % training {shares[kind].title}'
            return Metric(name, title, 'steps', False)
    except ValueError:
        pass
    raise CnnJaxError(unknown('metric', name, [*known, *(f'{kind}=0.75' for kind in shares)]))


def _titled(metric: Metric, title: str) -> Metric:
    """The metric under another title, its unit behind it."""
    return metric._replace(title=metric._replace(title=title).titled_unit)


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        state: 'finished', 'diverged', 'begun' or 'absent'.
        lines: of its `metrics.jsonl`.
        result_step: of the evaluation that is its result; None: the last.
    """

    state: str
    lines: list[dict[str, Any]]
    result_step: int | None = None

    @property
    def seconds(self) -> float:
        """Of training; not a number where nothing was logged."""
        return float(self.lines[-1]['seconds']) if self.lines else float('nan')


def read_outcome(run: Path, num_steps: int) -> Outcome:
    """How far the run in a folder has come; it is finished if it says so, or was evaluated after its last step."""
    lines, noted = read_metrics(run), outcome.read(run)
    if noted:
        return Outcome(noted['state'], lines, noted.get('result_step'))
    evaluated = any(line['split'] in EVALUATED and line['step'] == num_steps for line in lines)
    return Outcome('finished' if evaluated else 'begun' if (run / 'config.json').exists() else 'absent', lines)


def note_diverged(run: Path, reason: str) -> None:
    """Remembers that training this run again would diverge again."""
    outcome.note(run, 'diverged', reason=reason)


def score(lines: Sequence[dict[str, Any]], metric: Metric, split: str = 'test', step: int | None = None) -> float:
    """The metric of a finished run; not a number if it was not logged.

    split: of a metric that is not of training. step: of the evaluation; None: the last.
    """
    name = metric.name
    if 'train' in name:
        split, name, step = 'train', name.removeprefix('train_'), None
    if metric.unit == 'steps':
        name = metric.name.removeprefix(STEPS_TO).partition('=')[0]
    rows = [(line['step'], line[name]) for line in lines if line['split'] == split and line.get(name) is not None]
    rows = [row for row in rows if step in (None, row[0])]
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
