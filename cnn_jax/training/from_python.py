"""A run from Python, as in a notebook: in a work folder like any other, or in none."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import StopRequest
from cnn_jax.experiment import Experiment, Loaded
from cnn_jax.experiment_file import FROM_PYTHON
from cnn_jax.tasks.results import Evaluation
from cnn_jax.tasks.task import Task
from cnn_jax.training.run import train_in_folder
from cnn_jax.workdir.log import Log, read_metrics
from cnn_jax.workdir.place import check_local, check_writable_name


class Finished(NamedTuple):
    """What training gave.

    Attributes:
        model: the Linen module.
        variables: on the host; of a run with patience the best ones.
        task: what its answers are.
        class_names: in the order of its outputs.
        step: after which the variables are.
        evaluations: by split: 'test', and 'validation' where images were held out.
        metrics: the lines of `metrics.jsonl`.
        workdir: None where there was none.
        loaded: the experiment that was trained; `cnn_jax.load(result)` gives the net, ready to use.
    """

    model: Any
    variables: dict[str, Any]
    task: Task
    class_names: tuple[str, ...]
    step: int
    evaluations: dict[str, Evaluation]
    metrics: list[dict[str, Any]]
    workdir: Path | None
    loaded: Loaded


def train(
    experiment: Experiment | Loaded,
    *,
    workdir: str | Path | None = None,
    seed: int = 0,
    fold: int = 0,
    data_dir: str | Path | None = None,
    init_from: str | Path | None = None,
) -> Finished:
    """Trains an experiment and evaluates it; an interrupt ends it at once.

    Args:
        experiment: a bare `Experiment` is known to no file: a run of it goes on, but no mode can read it.
        workdir: of the run; None: nothing is left on the disk.
        seed: of parameters, order, augmentation and dropout.
        fold: of the images that are held out for validation.
        data_dir: where data sets are kept; None: the usual place.
        init_from: a weights file, a run, or a checkpoint in one, to start from.

    Raises:
        CnnJaxError: see its kinds in `errors`.
    """
    loaded = experiment if isinstance(experiment, Loaded) else Loaded(experiment, FROM_PYTHON, {})
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()) if workdir is None else workdir).expanduser()
        check_local(folder, 'workdir')
        check_writable_name(folder)
        folder.mkdir(parents=True, exist_ok=True)
        log = held.enter_context(contextlib.closing(Log(folder)))
        log.listen()
        result = train_in_folder(
            loaded.with_fold(fold),
            workdir=folder,
            seed=seed,
            data_dir=default_data_dir() if data_dir is None else Path(data_dir).expanduser(),
            parallel='mapped',
            eval_batch_size=None,
            init_from=None if init_from is None else Path(init_from).expanduser(),
            stop=StopRequest(),
            log=log,
            pictures=False,
            page=workdir is not None,
        )
        return Finished(
            model=loaded.experiment.model,
            variables=jax.device_get(mapping.fetch(result.state.variables)),
            task=loaded.experiment.task,
            class_names=loaded.experiment.data.class_names,
            step=result.step,
            evaluations=result.evaluations,
            metrics=read_metrics(folder),
            workdir=None if workdir is None else folder,
            loaded=loaded,
        )
