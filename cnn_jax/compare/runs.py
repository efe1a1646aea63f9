"""The runs that are compared: their settings, their curves, and what their checkpoints do on the same images."""

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.pipeline import Data
from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import CnnJaxError
from cnn_jax.evaluation.written import file_names
from cnn_jax.statistics.paired import Paired, compare_exactly, compare_resampled
from cnn_jax.tasks.results import Evaluation
from cnn_jax.tasks.task import Task
from cnn_jax.training import restore
from cnn_jax.training.setup import Setup
from cnn_jax.training.which import RESULT
from cnn_jax.workdir import openings, progress, seals
from cnn_jax.workdir.config import data_dir_of, existing_config, load_run
from cnn_jax.workdir.log import Log, read_metrics

SETTINGS = ('experiment', 'seed', 'options', 'init_from')  # of config.json: what was asked for
CIRCUMSTANCES = ('experiment_files', 'git_commit', 'python', 'devices', 'parallel', 'data_dir', 'versions')


class Trained(NamedTuple):
    """A run as it is compared.

    Attributes:
        name: the shortest end of its path that tells it from the others.
        path: its work folder.
        config: of `config.json`.
        metrics: lines of `metrics.jsonl`.
        step: of the checkpoint.
        evaluation: of that checkpoint, computed now: of every run in the same way.
        task: what its answers are.
        data: the set that it is evaluated on.
        split: of that set.
        data_dir: where that lies.
    """

    name: str
    path: Path
    config: dict[str, Any]
    metrics: list[dict[str, Any]]
    step: int
    evaluation: Evaluation
    task: Task
    data: Data
    split: str
    data_dir: Path

    @property
    def right(self) -> np.ndarray | None:
        """Whether each image is answered right, (images,) bool; None where an answer is more or less right."""
        return self.task.right(self.evaluation.results)

    def named(self, rows: Sequence[int]) -> list[str]:
        """Rows of the split in words: the files where the set has these, else the numbers."""
        return file_names(self.data.open(self.split, self.data_dir), rows) or [str(row) for row in rows]

    @property
    def class_names(self) -> tuple[str, ...]:
        """As the run was trained with them."""
        return tuple(self.config.get('class_names') or ())


def read_runs(
    paths: Sequence[Path],
    *,
    data_dir: Path | None,
    checkpoint: str = RESULT,
    split: str | None = None,
    stop: StopRequest,
    log: Log,
) -> list[Trained]:
    """Reads and evaluates runs; arguments as `compare_runs`.

    Raises:
        CnnJaxError: fewer than two, one given twice, no run, or runs on other images: these cannot be paired.
    """
    if len(paths) < 2:
        raise CnnJaxError('--mode=compare needs at least two work folders: --mode=compare runs/one runs/other')
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise CnnJaxError(f'--mode=compare: a run is given twice: {", ".join(map(str, paths))}')
    names = short_names(resolved)
    split = split or common_split([existing_config(path) for path in resolved])
    look = functools.partial(read_run, data_dir=data_dir, checkpoint=checkpoint, split=split, stop=stop, log=log)
    runs = [look(path, name) for path, name in zip(resolved, names, strict=True)]
    first, task = runs[0].evaluation.results, runs[0].task
    for run in runs[1:]:
        if type(run.task) is not type(task):
            raise CnnJaxError(f'{run.name} is a run of {run.task.name}, {runs[0].name} of {task.name}: not comparable')
        if not all(np.array_equal(run.evaluation.results[name], first[name]) for name in ('index', *task.truths)):
            raise CnnJaxError(
                f'{run.name} has other {split} images ({run.config["data"]}) than {runs[0].name} '
                f'({runs[0].config["data"]}); only runs on the same split can be compared image by image'
            )
    return runs


def common_split(configs: Sequence[dict[str, Any]]) -> str:
    """'validation' where all runs held the same images out; 'test' where not."""
    seals = [config.get('seals', {}).get('validation') for config in configs]
    known = seals[0] is not None and seals[0][1] is not None
    return 'validation' if known and all(seal == seals[0] for seal in seals) else 'test'


def read_run(
    path: Path, name: str, *, data_dir: Path | None, checkpoint: str, split: str, stop: StopRequest, log: Log
) -> Trained:
    """Reads a run and evaluates a checkpoint of it; a look at its test split is counted."""
    config = existing_config(path)
    experiment = load_run(config, path=path, report=log.say).experiment
    data_dir = data_dir or data_dir_of(config)

    def working(words: str, total: int | None = None, /) -> AbstractContextManager[progress.Task]:
        return log.working(f'{name}: {words}', total)

    poll = functools.partial(stop.poll, 'stopped during evaluation')
    setup = Setup(experiment, data_dir=data_dir, poll=poll, working=working)
    with working('reading the checkpoint'):
        step, state = restore.read_state(experiment, path, setup.mesh, which=checkpoint, report=log.say)
    feed = setup.open_feed(seed=0)
    for line in seals.differences(config, {split: feed.seal(split)}):
        log.say(f'{name}: {line}')
    evaluation = setup.evaluate(state.variables, feed, split)
    if split == 'test':
        openings.count_opening(path, step=step, by='compare', report=lambda line: log.say(f'{name}: {line}'))
    return Trained(
        path=path,
        name=name,
        config=config,
        metrics=read_metrics(path),
        step=step,
        evaluation=evaluation,
        task=experiment.task,
        data=experiment.data,
        split=split,
        data_dir=data_dir,
    )


def changed_places(run: Trained, other: Trained) -> tuple[np.ndarray, np.ndarray]:
    """The places in the results of the images gained and lost; none where no image is right or wrong."""
    right, before = run.right, other.right
    if right is None or before is None:
        return np.zeros(0, int), np.zeros(0, int)
    return np.flatnonzero(right & ~before), np.flatnonzero(~right & before)


def pair_of(run: Trained, other: Trained) -> Paired:
    """A run against another on the same images."""
    results, others = run.evaluation.results, other.evaluation.results
    if run.right is not None and other.right is not None:
        return compare_exactly(run.right, other.right, results['loss'], others['loss'])
    over, over_other = (one.task.headline_over(one.evaluation.results, one.data) for one in (run, other))
    return compare_resampled(lambda rows: over(rows) - over_other(rows), results['loss'], others['loss'])


def images_of(run: Trained, places: np.ndarray) -> np.ndarray:
    """The images at some places of a run's results, uint8 (places, height, width, channels)."""
    source = run.data.open(run.split, run.data_dir)
    rows = run.evaluation.results['index'][places]
    found = [source[int(row)]['image'] for row in rows]
    return np.stack(found) if found else np.zeros((0, *run.data.image_shape), np.uint8)


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as tell them apart."""
    most = max(len(path.parts) for path in paths)
    for count in range(1, most + 1):
        names = ['/'.join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def differences(runs: Sequence[Trained], names: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """What differs among the runs in some entries of their `config.json`: (name, the value of each run)."""
    flat = [_flat(run.config, names) for run in runs]
    keys = dict.fromkeys(key for values in flat for key in values)
    rows = [(key, [values.get(key) for values in flat]) for key in keys]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values)]


def _flat(config: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    flat = {}
    for name in names:
        value = config.get(name)
        flat |= value if isinstance(value, dict) else {name: value}
    return flat
