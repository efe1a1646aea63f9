"""What a run of a grid is compared by: one number from its `metrics.jsonl`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.files.whole import write_whole
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks import classification
from cnn_jax.tasks.task import Task
from cnn_jax.workdir.log import read_metrics

OUTCOME = 'outcome.json'  # of a run that diverged
LAST_SHARE = 0.1  # of the training lines, whose mean stands for the end of training
WINDOW = 10  # lines of training that are averaged before they are compared with a target


STEPS_TO = 'steps_to_train_'


def metrics_of(task: Task) -> dict[str, Metric]:
    """What runs of a task may be compared by: its metrics of the test split, and those of training with 'train_'."""
    test = [_titled(metric, f'test {metric.title}') for metric in task.metrics]
    train = [
        _titled(metric._replace(name=f'train_{metric.name}'), f'training {metric.title} at the end')
        for metric in (*task.batch_metrics, LOSS)
    ]
    return {metric.name: metric for metric in (*test, *train)}


def metric_of(name: str, task: Task | None = None) -> Metric:
    """The metric of that name; 'steps_to_train_top1=0.75' counts the steps to that value of a share in training.

    task: whose metrics they are; None: classification.

    Raises:
        CnnJaxError: there is no such metric.
    """
    task = classification.task() if task is None else task
    known = metrics_of(task)
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
        name = metric.name.removeprefix(STEPS_TO).partition('=')[0]
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
