"""An experiment for the weights of `--init_from`: images are prepared as these were trained on, or it is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment, Loaded
from cnn_jax.training.which import run_of
from cnn_jax.weights.prepared import applied, check_same, of_experiment, of_weights
from cnn_jax.weights.preprocessing import Preprocessing, from_json, known
from cnn_jax.workdir.config_file import read_config


def prepare_as_trained(loaded: Loaded, init_from: Path | None, flags: Any, say: Callable[[str], None]) -> Loaded:
    """The experiment as it is, or with the weights' preprocessing in evaluation; `say` takes a line that tells which.

    Args:
        init_from: a weights file or a run; None: the run's own weights, whose experiment prepares their images.
        flags: `architecture`, the published name of the weights or None, and `preprocessing`, what was chosen:
            'weights', 'experiment' or None.

    Raises:
        CnnJaxError: the two differ and nobody has chosen, or an option that does not fit.
        StorageError: the file is damaged.
    """
    architecture, choice = flags.architecture, flags.preprocessing
    if init_from is None:
        given = '--architecture' if architecture else '--preprocessing' if choice else None
        if given is not None:
            raise CnnJaxError(f'{given} is of the weights of --init_from; a run remembers how its images are prepared')
        return loaded
    if not init_from.exists():
        return loaded  # whoever reads it says so
    ours = of_experiment(loaded.experiment.data, loaded.experiment.preprocess)
    taken = check_same(ours, _of(init_from, architecture), choice, what=str(init_from), say=say)
    return loaded if taken is None else loaded._replace(experiment=applied(loaded.experiment, taken))


def say_difference(experiment: Experiment, init_from: Path, say: Callable[[str], None]) -> None:
    """Says where training goes on with images that are prepared otherwise than those of its first weights."""
    ours, theirs = of_experiment(experiment.data, experiment.preprocess), _of(init_from, None)
    if ours and theirs and (fields := theirs.differences(ours)):
        say(f'trained before on {theirs.words()}; from here on {ours.words()}: another {" and ".join(fields)}')


def _of(init_from: Path, architecture: str | None) -> Preprocessing | None:
    """How the images of weights were prepared, as their name, their run or their file says."""
    if not init_from.is_dir():
        return of_weights(init_from, architecture)
    return known(architecture) if architecture else _of_run(init_from)


def _of_run(path: Path) -> Preprocessing | None:
    run, _ = run_of(path)
    stored = (read_config(run) or {}).get('preprocessing')
    return None if stored is None else from_json(stored, what=str(run / 'config.json'))
