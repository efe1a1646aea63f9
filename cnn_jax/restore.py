"""Where a run's state comes from: its own checkpoint, another run's variables, or a seed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from cnn_jax import parallel, workdir
from cnn_jax.checkpoint import Checkpoints
from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment, load
from cnn_jax.log import Log
from cnn_jax.steps import TrainState


def abstract_state(experiment: Experiment, mesh: Mesh) -> TrainState:
    """Shapes, dtypes and shardings of the state; nothing is computed.

    Raises:
        CnnJaxError: the model does not fit the images.
    """
    try:
        shapes = jax.eval_shape(lambda: experiment.init_state(0))
    except (ValueError, TypeError) as error:
        data = experiment.data
        raise CnnJaxError(
            f'the model does not fit {data.name} images of {data.image_shape}: {_first(error)}'
        ) from error
    sharding = parallel.replicated(mesh)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)


def initial_state(experiment: Experiment, like: TrainState, *, seed: int) -> TrainState:
    """The state before the first step, in the shardings of `like`."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
    return jax.jit(lambda: experiment.init_state(seed), out_shardings=shardings)()


def start_or_resume(
    experiment: Experiment,
    checkpoints: Checkpoints,
    like: TrainState,
    *,
    seed: int,
    init_from: Path | None,
    log: Log,
) -> tuple[TrainState, float]:
    """The state to go on from, and the seconds it was trained for.

    Raises:
        CnnJaxError: the checkpoint, or the run to start from, is of another model.
        StorageError: there are checkpoints and none is whole.
    """
    restored = checkpoints.restore_latest_valid(like, report=lambda line: log.say(f'warning: {line}'))
    if restored is not None:
        parallel.main_process_first(lambda: checkpoints.set_aside_after(restored.step))
        log.say(f'resuming at step {restored.step} of {experiment.num_steps}')
        return restored.state, float(restored.note.get('seconds', 0.0))
    state = initial_state(experiment, like, seed=seed)
    if init_from is not None:
        variables = variables_of_run(init_from, like_variables=like.variables, report=log.say)
        params = variables.pop('params')
        state = dataclasses.replace(state, params=params, model_state=variables)
        log.say(f'starting from the variables of {init_from}')
    return state, 0.0


def latest_state(
    experiment: Experiment, folder: Path, mesh: Mesh, *, report: Callable[[str], None]
) -> tuple[int, TrainState]:
    """The newest whole checkpoint of a run, for reading: nothing in the folder changes.

    Raises:
        CnnJaxError: there is no checkpoint yet.
    """
    like = abstract_state(experiment, mesh)
    restored = Checkpoints(folder / 'checkpoints').restore_latest_valid(like, report=report)
    if restored is None:
        raise CnnJaxError(f'no checkpoint in {folder} yet; train it first')
    return restored.step, restored.state


def variables_of_run(folder: Path, *, like_variables: dict[str, Any], report: Callable[[str], None]) -> dict[str, Any]:
    """The variables of another run's newest checkpoint, for a model of the same shapes.

    Raises:
        CnnJaxError: `folder` is not a run, or its model has other shapes.
    """
    config = workdir.existing_config(folder)
    experiment = load(config['experiment'], config['options']).experiment
    _, state = latest_state(experiment, folder, parallel.make_mesh(), report=report)
    found, wanted = _shapes(state.variables), _shapes(like_variables)
    wrong = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    if wrong:
        first = '; '.join(f'{name}: there {found.get(name)}, here {wanted.get(name)}' for name in wrong[:3])
        raise CnnJaxError(f'--init_from: {folder} is of another model: {first}; give a run of the same model')
    return state.variables


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf.shape for path, leaf in leaves}


def _first(error: Exception) -> str:
    return str(error).strip().partition('\n')[0]
