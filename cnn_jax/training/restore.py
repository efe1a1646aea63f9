"""Where a run's state comes from: its own checkpoint, another run's variables, or a seed."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from cnn_jax.devices import mapping, processes
from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment, Loaded
from cnn_jax.steps.state import TrainState
from cnn_jax.training.as_trained import say_difference
from cnn_jax.training.choice import best_checkpoints
from cnn_jax.training.class_names import by_name
from cnn_jax.training.setup import Setup
from cnn_jax.training.states import abstract_state, shardings_of
from cnn_jax.training.which import BEST, LATEST, RESULT, run_of
from cnn_jax.weights import variables_for
from cnn_jax.weights.trunk import TRUNK
from cnn_jax.workdir import outcome
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.config import existing_config, load_run
from cnn_jax.workdir.identity import identity
from cnn_jax.workdir.log import Log

GIVEN = ('given',)  # the collections that options say, as a picture to paint like; other weights do not bring theirs
INIT_HINT = (
    'give a weights file or a run, --init_from=FILE; the file of a published net is model.safetensors of '
    'timm/resnet18.tv_in1k and its like on the Hugging Face hub'
)
NAMED_STREAMS = 2  # format of the first checkpoints of runs whose consumers of randomness have names


def start_or_resume(
    setup: Setup, checkpoints: Checkpoints, *, seed: int, init_from: Path | None, log: Log
) -> tuple[TrainState, float]:
    """The state to go on from, and the seconds it was trained for.

    Raises:
        CnnJaxError: the checkpoint, or the run to start from, is of another model.
        StorageError: there are checkpoints and none is whole.
    """
    restored = checkpoints.restore_latest_valid(setup.like, report=lambda line: log.say(f'warning: {line}'))
    if restored is not None:
        processes.main_process_first(lambda: checkpoints.set_aside_after(restored.step))
        log.say(f'resuming at step {restored.step} of {setup.experiment.num_steps}')
        if restored.format < NAMED_STREAMS:
            log.say(
                'warning: this run was begun by a version that drew other random numbers; it goes on with those of '
                'this one, so its end is that of no run in one piece; for one, start anew in a new --workdir'
            )
        return restored.state, float(restored.note.get('seconds', 0.0))
    init_from = source_of(setup.experiment, init_from)
    state = setup.initial_state(seed)
    if init_from is not None:
        variables = weights_from(init_from, setup.experiment, mapping.fetch(state.variables), report=log.say)
        variables = jax.device_put(variables, shardings_of(setup.like.variables))
        params = variables.pop('params')
        variables |= {name: state.model_state[name] for name in GIVEN if name in state.model_state}
        state = dataclasses.replace(state, params=params, model_state=variables)
        log.say(f'starting from the weights of {init_from}')
        say_difference(setup.experiment, init_from, log.say)
    return state, 0.0


def source_of(experiment: Experiment, init_from: Path | None) -> Path | None:
    """What a new run starts from, a file or a run: what was asked for, else the experiment's own, else nothing.

    Raises: CnnJaxError for one that is not there, with the experiment's words on how to have its own.
    """
    if init_from is None and experiment.init_from is None:
        return None
    found = init_from or Path(experiment.init_from or '').expanduser()
    if not found.exists():
        how = '' if init_from else experiment.init_hint
        raise CnnJaxError(f'{found} is not there; {how or INIT_HINT}')
    return found


def read_state(
    experiment: Experiment, folder: Path, mesh: Mesh, *, which: str = RESULT, report: Callable[[str], None]
) -> tuple[int, TrainState]:
    """A whole checkpoint of a run and its step, for reading: nothing in the folder changes.

    which: 'result', 'latest', 'best' of the validation split, or a step.

    Raises:
        CnnJaxError: there is no such checkpoint.
    """
    like = abstract_state(experiment, mesh)
    regular, best = Checkpoints(folder / 'checkpoints', run=identity(folder)), best_checkpoints(folder)
    if which == RESULT:
        which = _result(folder, regular, best, report)
    if which not in (LATEST, BEST):
        return _read_step(which, [regular, best], folder, like)
    if which == BEST and experiment.data.choosing_split == 'test':
        raise CnnJaxError(
            f'--checkpoint=best: the run in {folder} held no images out for validation, so nothing was chosen; '
            'take latest, or train with the option validation above 0'
        )
    if which == LATEST and best.steps() and not regular.steps():
        report(f'{folder} has the best checkpoint alone, step {best.steps()[-1]}: it is taken')
        which = BEST
    restored = (best if which == BEST else regular).restore_latest_valid(like, report=report)
    if restored is None:
        what = 'no best checkpoint' if which == BEST and regular.steps() else 'no checkpoint'
        raise CnnJaxError(f'{what} in {folder} yet; train it first')
    if which == LATEST and best.steps() and best.steps()[-1] != restored.step:
        report(f'the best checkpoint on the validation split is step {best.steps()[-1]}: --checkpoint=best')
    return restored.step, restored.state


def _result(folder: Path, regular: Checkpoints, best: Checkpoints, report: Callable[[str], None]) -> str:
    """Which checkpoint a run ended with: its latest, or another that it noted."""
    noted, steps = outcome.read(folder), regular.steps()
    step = noted.get('result_step')
    if not steps or step == steps[-1] or noted.get('last_step') != steps[-1] or step not in best.steps():
        return LATEST
    report(f'step {step} is the result of the run, the best on its validation split; the latest is step {steps[-1]}')
    return str(step)


def _read_step(which: str, places: Sequence[Checkpoints], folder: Path, like: Any) -> tuple[int, TrainState]:
    there = sorted({step for place in places for step in place.steps()})
    for place in places:
        if which.isdecimal() and int(which) in place.steps():
            restored = place.restore(int(which), like)
            return restored.step, restored.state
    steps = f'its steps are {", ".join(map(str, there))}' if there else 'it has none yet'
    raise CnnJaxError(f'--checkpoint: {which!r} given; allowed are latest, best, or a step of {folder}: {steps}')


def trained_variables(
    loaded: Loaded,
    folder: Path | None,
    init_from: Path | None,
    mesh: Mesh,
    log: Log,
    which: str = RESULT,
    headless: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables that a mode without training looks at, on the devices, and a note: where from, what they lack.

    Args:
        folder: a run.
        init_from: a weights file or another run.
        which: of the checkpoints of the run, see `read_state`.
        headless: as in `weights.variables_for`.

    Raises:
        CnnJaxError: both or neither of the two, or weights that do not fit.
    """
    if folder is not None and init_from is not None:
        raise CnnJaxError(
            f'--init_from: the run in {folder} has weights of its own; leave --init_from or --workdir out'
        )
    if folder is not None:
        with log.working('reading the checkpoint'):
            step, state = read_state(loaded.experiment, folder, mesh, which=which, report=log.say)
        log.say(f'{loaded.name}, step {step} of {folder}')
        return state.variables, {'workdir': str(folder), 'step': step}
    if which not in (RESULT, LATEST):
        raise CnnJaxError('--checkpoint is of the run in --workdir; of another write --init_from=RUN/checkpoints/best')
    if init_from is None:
        raise CnnJaxError('no weights: give --workdir=RUN, or --experiment=NAME with --init_from=FILE_OR_RUN')
    like = abstract_state(loaded.experiment, mesh).variables
    with log.working('reading the weights'):
        variables = weights_from(init_from, loaded.experiment, like, report=log.say, headless=headless)
    log.say(f'{loaded.name} with the weights of {init_from}')
    there = {kind: {name: like[kind][name] for name in part} for kind, part in variables.items()}
    note = {'init_from': str(init_from)}
    if lacks := sorted({*like['params']} - {*variables['params']}):
        note['lacks'] = ', '.join(lacks)
    return jax.device_put(variables, shardings_of(there)), note


def weights_from(
    source: Path,
    experiment: Experiment,
    like: dict[str, Any],
    *,
    report: Callable[[str], None],
    headless: bool = False,
) -> dict[str, Any]:
    """The variables of an experiment's model from a weights file, or from a checkpoint of another run.

    Args:
        source: a file that `weights.variables_for` reads, a work folder, or a checkpoint in one, `run_of`.
        experiment: whose model is wanted.
        like: its initial variables; shapes alone where nothing may stay untrained.
        report: told what was not taken from the source.
        headless: as in `weights.variables_for`.

    Raises:
        CnnJaxError: the source is not one, or is of another model.
        StorageError: it cannot be read, or is refused.
    """
    what = str(source)
    if source.is_dir():
        run, which = run_of(source)
        other = load_run(existing_config(run), path=run, report=report).experiment
        _, state = read_state(other, run, mapping.make_mesh(), which=which, report=report)
        taken = variables_for(experiment.model, mapping.fetch(state.variables), like, report=report, what=what)
        if hasattr(experiment.model, TRUNK) and type(other.model) is not type(experiment.model):
            return taken  # the heads have started anew already
        return by_name(experiment, taken, like, other.data.class_names, what=what, report=report)
    return variables_for(experiment.model, source, like, report=report, what=what, headless=headless)
