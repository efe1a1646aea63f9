"""A net from a run, or from a weights file, for whoever wants to use it."""

import dataclasses
import importlib
import logging
import pkgutil
from pathlib import Path
from typing import Any

import jax

from cnn_jax import tasks, weights
from cnn_jax.data.formats.shrunk import read_whole
from cnn_jax.data.imagenet import class_names as imagenet_names
from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.experiment import Loaded
from cnn_jax.prediction.net import Net
from cnn_jax.tasks import classification
from cnn_jax.tasks.task import Task
from cnn_jax.training import restore
from cnn_jax.training.from_python import Finished
from cnn_jax.training.which import RESULT, run_of
from cnn_jax.weights import prepared
from cnn_jax.workdir.config import existing_config, load_run
from cnn_jax.workdir.log import read_metrics
from cnn_jax.workdir.trust import trusting

LIBRARIES = {'torchvision': weights.torchvision, 'timm': weights.timm}
EXAMPLES = ("architecture='torchvision/resnet18'", "'timm/resnet50.a1_in1k'")

log = logging.getLogger(__name__)


def load(
    source: str | Path | Finished, *, architecture: str | None = None, checkpoint: str = RESULT, trust: bool = False
) -> Net:
    """The net of a run, of one of its checkpoints, of a weights file, or of what `train` gave.

    Args:
        source: a work folder, `RUN/checkpoints/best`, a file, or the result of `cnn_jax.train`.
        architecture: of a file of torchvision's or timm's, 'torchvision/resnet18' or 'timm/resnet50.a1_in1k'; None: a
            file that `weights.save` wrote says it itself.
        checkpoint: of a run: 'result', which is the best one where the run ends with that, else the
            latest; 'latest', 'best', or a step.
        trust: whether an experiment file may run that a run names, whoever wrote it, see `workdir.trust`.

    Raises:
        CnnJaxError: there is no such run, checkpoint or file, or it does not say what it is.
        StorageError: it is damaged.
    """
    if isinstance(source, Finished):
        net = of_experiment(source.loaded, jax.device_put(source.variables), f'training, step {source.step}')
        return dataclasses.replace(net, metrics=source.metrics)
    path = Path(source).expanduser()
    if path.is_dir():
        with trusting(trust):
            return _of_run(path, checkpoint)
    if not path.exists():
        raise CnnJaxError(f'load: {path} is no run and no file; give the work folder of a run, or a file of weights')
    return _of_file(path, architecture)


def _of_run(path: Path, checkpoint: str) -> Net:
    folder, which = run_of(path)
    which = checkpoint if which == RESULT else which
    config = existing_config(folder)
    loaded = load_run(config, path=folder, report=log.warning)
    mesh = mapping.make_mesh()
    step, state = restore.read_state(loaded.experiment, folder, mesh, which=which, report=log.warning)
    return of_experiment(loaded, state.variables, f'{folder}, step {step}', folder)


def of_experiment(loaded: Loaded, variables: dict[str, Any], source: str, folder: Path | None = None) -> Net:
    """The net of an experiment with variables from somewhere; `folder`: of the run that they are of."""
    experiment = loaded.experiment
    return Net(
        model=experiment.model,
        variables=variables,
        task=experiment.task,
        class_names=experiment.data.class_names,
        preprocess=experiment.preprocess,
        image_shape=experiment.data.image_shape,
        read_file=read_whole if experiment.task.any_size else experiment.data.read_file,
        view_of=_nowhere if experiment.task.any_size else experiment.data.view_of,
        source=source,
        metrics=read_metrics(folder) if folder is not None else (),
        prepared=lambda: prepared.of_experiment(experiment.data, experiment.preprocess),
    )


def _of_file(path: Path, architecture: str | None) -> Net:
    how, task = prepared.of_weights(path, architecture), classification.task()
    if architecture is None:
        model, variables = weights.load(path)
        about = weights.about(path)
        names = tuple(about['class_names'])
        task = _task(about.get('task', 'classification'), about.get('task_arguments', {}), path)
    else:
        library, _, name = architecture.rpartition('/')
        if library not in LIBRARIES:
            raise CnnJaxError(f'architecture: {architecture!r} given; write {" or ".join(EXAMPLES)}')
        name = name.partition('.')[0] if library == 'torchvision' else name
        model, variables = LIBRARIES[library](name, path)
        names = imagenet_names() if model.num_classes == 1000 else ()
    if how is None:
        raise CnnJaxError(
            f'{path} does not say how its images are prepared; give architecture=TAG, as {" or ".join(EXAMPLES)}'
        )
    return Net(
        model=model,
        variables=jax.device_put(variables),
        task=task,
        class_names=names or tuple(f'class {number}' for number in range(getattr(model, 'num_classes', 0))),
        preprocess=how.transform(),
        image_shape=how.image_shape,
        read_file=read_whole if task.any_size else how.decode,
        view_of=_nowhere if task.any_size else how.view,
        source=f'{path}, prepared as {how.source}',
        prepared=lambda: how,
    )


def _nowhere(encoded: bytes) -> None:
    """The view of a picture that is shown as it is to a task without places."""


def _task(name: Any, arguments: Any, path: Path) -> Task:
    """The task of that name; StorageError for one that is not there, or that its arguments do not make."""
    known = [module.name for module in pkgutil.iter_modules(tasks.__path__)]
    module = importlib.import_module(f'{tasks.__name__}.{name}') if name in known else None
    if not hasattr(module, 'task'):
        raise StorageError(
            f'{path}: it answers the task {str(name)[:40]!r}, which this version of cnn_jax does not know'
        )
    try:
        return module.task(**arguments)  # pyright: ignore[reportOptionalMemberAccess]
    except (TypeError, ValueError) as error:
        raise StorageError(
            f'{path}: it does not say what its task {name} needs ({error}); save it again with net.save, from its run'
        ) from error
