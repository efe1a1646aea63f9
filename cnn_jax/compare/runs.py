"""The runs that are compared: their settings, their curves, and what their newest checkpoints do on the test split."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import CnnJaxError
from cnn_jax.evaluation.evaluate import evaluate
from cnn_jax.experiment import load
from cnn_jax.tasks.task import Evaluation
from cnn_jax.training import restore
from cnn_jax.workdir.config import existing_config
from cnn_jax.workdir.log import read_metrics

SETTINGS = ('experiment', 'seed', 'options')  # of config.json: what was asked for
CIRCUMSTANCES = ('git_commit', 'python', 'devices', 'parallel', 'data_dir', 'versions')


class Trained(NamedTuple):
    """A run as it is compared.

    Attributes:
        name: the shortest end of its path that tells it from the others.
        path: its work folder.
        config: of `config.json`.
        metrics: lines of `metrics.jsonl`.
        step: of the checkpoint.
        evaluation: of that checkpoint, computed now: of every run in the same way.
    """

    name: str
    path: Path
    config: dict[str, Any]
    metrics: list[dict[str, Any]]
    step: int
    evaluation: Evaluation

    @property
    def right(self) -> np.ndarray:
        """Whether each test image is classified right, (images,) bool."""
        return self.evaluation.results['rank'] < 1


def read_runs(paths: Sequence[Path], *, data_dir: Path, stop: StopRequest, say: Callable[[str], None]) -> list[Trained]:
    """Reads and evaluates runs.

    Raises:
        CnnJaxError: fewer than two, one given twice, no run, or runs on other test images: these cannot be paired.
    """
    if len(paths) < 2:
        raise CnnJaxError('--mode=compare needs at least two work folders: --mode=compare runs/one runs/other')
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise CnnJaxError(f'--mode=compare: a run is given twice: {", ".join(map(str, paths))}')
    names = short_names(resolved)
    runs = [read_run(path, name, data_dir, stop, say) for path, name in zip(resolved, names, strict=True)]
    first = runs[0].evaluation.results
    for run in runs[1:]:
        if not all(np.array_equal(run.evaluation.results[name], first[name]) for name in ('index', 'label')):
            raise CnnJaxError(
                f'{run.name} has other test images ({run.config["data"]}) than {runs[0].name} '
                f'({runs[0].config["data"]}); only runs on the same split can be compared image by image'
            )
    return runs


def read_run(path: Path, name: str, data_dir: Path, stop: StopRequest, say: Callable[[str], None]) -> Trained:
    """Reads a run and evaluates its newest whole checkpoint."""
    config = existing_config(path)
    experiment = load(config['experiment'], config['options']).experiment
    mesh = mapping.make_mesh()
    step, state = restore.latest_state(experiment, path, mesh, report=say)
    feed = open_feed(experiment.data, data_dir=data_dir, seed=0, mesh=mesh)
    result = evaluate(
        mapping.map_eval(experiment.eval_step(), mesh),
        state.variables,
        feed.test(experiment.data.batch_size),
        num_classes=experiment.data.num_classes,
        poll=lambda: stop.poll('stopped during evaluation'),
    )
    return Trained(name, path, config, read_metrics(path), step, result)


def test_images(run: Trained, places: np.ndarray, data_dir: Path) -> np.ndarray:
    """The images at some places of a run's results, uint8 (places, height, width, channels)."""
    data = load(run.config['experiment'], run.config['options']).experiment.data
    feed = open_feed(data, data_dir=data_dir, seed=0, mesh=mapping.make_mesh())
    return feed.images('test', run.evaluation.results['index'][places])


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
