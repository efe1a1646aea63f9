"""A run in a list: its options, its result, and what differs among several."""

import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax import tasks
from cnn_jax.statistics.metric import Metric
from cnn_jax.tasks.task import Task

WORDS = frozenset(('step', 'seconds', 'split'))  # of a line of the metrics: what is no value
JUDGED = ('test', 'validation')  # splits by which a run is judged, the first that was looked at


class Listed(NamedTuple):
    """A run in the list: its folder, and what stands in its `config.json` and `metrics.jsonl`."""

    path: Path
    config: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]


def differing(listed: Sequence[Listed]) -> list[dict[str, Any]]:
    """For each run its seed and options that are not the same in all listed runs of its experiment."""
    found = [settings(run) for run in listed]
    known: dict[str, set[str]] = {}
    for run, own in zip(listed, found, strict=True):
        known.setdefault(run.config['experiment'], set()).update(own)
    values: dict[tuple[str, str], set[str]] = {}
    for run, own in zip(listed, found, strict=True):
        for name in known[run.config['experiment']]:  # an older run may not know an option at all
            said = json.dumps(own[name], sort_keys=True) if name in own else ''
            values.setdefault((run.config['experiment'], name), set()).add(said)
    return [
        {name: value for name, value in own.items() if len(values[run.config['experiment'], name]) > 1}
        for run, own in zip(listed, found, strict=True)
    ]


def settings(run: Listed) -> dict[str, Any]:
    """The options of a run, its seed and its fold."""
    return {**run.config['options'], **{name: run.config[name] for name in ('seed', 'fold') if name in run.config}}


def headline(run: Listed) -> tuple[str, str, float] | None:
    """The split, the name and the last value of the metric that a run is judged by; None before its first evaluation.

    A summary has the headline of its task first, and the log keeps that order.
    """
    for split in JUDGED:
        lines = [line for line in run.metrics if line['split'] == split]
        names = [name for name in lines[-1] if name not in WORDS] if lines else []
        if names and lines[-1][names[0]] is not None:
            return split, names[0], float(lines[-1][names[0]])
    return None


def known_metrics() -> dict[str, Metric]:
    """The metrics of all tasks, by name; where tasks share one, with its shortest title, which is the general one."""
    for module in pkgutil.iter_modules(tasks.__path__):
        importlib.import_module(f'{tasks.__name__}.{module.name}')

    def all_of(kind: type[Task]) -> list[type[Task]]:
        return [one for child in kind.__subclasses__() for one in (child, *all_of(child))]

    def of(kind: type[Task]) -> Sequence[Metric]:  # their order may depend on a setting, which has a default then
        found = getattr(kind, 'metrics', ())
        return kind().metrics if isinstance(found, property) else found

    found = [metric for kind in all_of(Task) for metric in of(kind)]
    return {metric.name: metric for metric in sorted(found, key=lambda metric: -len(metric.title))}


def metric_of(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """A metric by its name; of a task that is not known here, with that for its title."""
    return metrics.get(name, Metric(name, name, '', True))


def value_text(value: float, metric: Metric) -> str:
    """A value as lists of runs show it: '98.89%', '0.1226'."""
    return f'{value:.2%}' if metric.unit == 'points' else f'{value:.4g}'


def text_of(value: Any) -> str:
    """The value of an option in words."""
    return ','.join(map(str, value)) if isinstance(value, list) else str(value)
