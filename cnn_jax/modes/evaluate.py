"""Prints what a checkpoint of a run, or weights from elsewhere, do on a split, and on other sets.

python -m cnn_jax.main --mode=evaluate --workdir=RUN --checkpoint=best
"""

from typing import TYPE_CHECKING, Any

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import (
    ARCHITECTURE,
    CHECKPOINT,
    DATA_DIR,
    DISTRIBUTED,
    EVAL_BATCH_SIZE,
    INIT_FROM,
    PARALLEL,
    PREPROCESSING,
    SPLIT,
    Flag,
)
from cnn_jax.modes._typed import listed

if TYPE_CHECKING:
    from cnn_jax.devices.feed import Feed
    from cnn_jax.experiment import Loaded
    from cnn_jax.tasks.results import Evaluation
    from cnn_jax.training.setup import Setup

FLAGS = (
    INIT_FROM,
    ARCHITECTURE,
    PREPROCESSING,
    CHECKPOINT,
    SPLIT,
    DATA_DIR,
    EVAL_BATCH_SIZE,
    PARALLEL,
    DISTRIBUTED,
    Flag('protocols', 'views of an image: center,ten_crop,dense,dense_multi_scale,crops_144'),
    Flag('sets', 'more test sets of ImageNet: v2,real,a,r,sketch'),
)
POLLS = True


def run(command: Command) -> None:
    from cnn_jax.training import restore
    from cnn_jax.training.as_trained import prepare_as_trained
    from cnn_jax.training.setup import Setup
    from cnn_jax.workdir.config import existing_config
    from cnn_jax.workdir.seals import differences

    loaded = prepare_as_trained(command.load(beside_run=False), command.init_from, command.flags, command.log.say)
    experiment, log, split = loaded.experiment, command.log, _split(command)
    if split not in experiment.data.splits:
        raise CnnJaxError(f'--split={split}: {experiment.data.name} has {", ".join(experiment.data.splits)}')
    setup = Setup(
        experiment,
        data_dir=command.data_dir,
        parallel=command.flags.parallel,
        eval_batch_size=command.flags.eval_batch_size,
        poll=lambda: command.stop.poll('stopped during evaluation'),
        working=log.working,
    )
    variables, source = restore.trained_variables(
        loaded, command.workdir, command.init_from, setup.mesh, log, which=command.flags.checkpoint
    )
    feed = setup.open_feed(seed=0)
    if command.workdir is not None:
        for line in differences(existing_config(command.workdir), {split: feed.seal(split)}):
            log.say(line)
    if command.flags.protocols or command.flags.sets:
        table = _views(command, setup, variables, feed)
        _count(command, source)
        log.say(f'\n{table}')
        return
    evaluation = setup.evaluate(variables, feed, split)
    _count(command, source)
    log.say(experiment.task.words(evaluation, experiment.data))
    _write(command, loaded, evaluation, feed, source)


def _split(command: Command) -> str:
    return command.flags.split or 'test'


def _views(command: Command, setup: 'Setup', variables: Any, feed: 'Feed') -> str:
    """The table of several views of an image, and of other sets."""
    from cnn_jax.evaluation.protocols import compare_protocols

    with command.log.working('evaluating views, batch') as told:

        def poll() -> None:
            setup.poll()
            told.next()

        return compare_protocols(
            setup.experiment,
            variables,
            feed.source(_split(command)),
            protocols=listed(command.flags.protocols or 'center'),
            sets=listed(command.flags.sets or ''),
            data_dir=command.data_dir,
            batch_size=setup.eval_batch_size,
            mesh=setup.mesh,
            say=command.log.say,
            poll=poll,
        )


def _count(command: Command, source: dict[str, Any]) -> None:
    """Counts a look at the test split in the run whose weights they are."""
    from cnn_jax.devices import processes
    from cnn_jax.training.which import run_of
    from cnn_jax.workdir.openings import count_opening

    log, folder, step = command.log, command.workdir, source.get('step')
    if folder is None and command.init_from is not None:
        folder, _ = run_of(command.init_from)
    if _split(command) == 'test' and folder is not None:
        processes.main_process_first(lambda: count_opening(folder, step=step, by='evaluate', report=log.say))


def _write(command: Command, loaded: 'Loaded', evaluation: 'Evaluation', feed: 'Feed', source: dict[str, Any]) -> None:
    """Writes each image of an evaluation into the folder of the run."""
    from cnn_jax.devices import processes
    from cnn_jax.evaluation.written import write
    from cnn_jax.workdir.config import make_folder

    folder, split = command.workdir, _split(command)
    if folder is None or not processes.is_main_process():
        return
    experiment, about = loaded.experiment, {'experiment': loaded.name, 'step': source['step']}
    try:
        make_folder(folder)
        written = write(
            folder / 'evaluation', evaluation, feed.source(split),
            task=experiment.task, data=experiment.data, split=split, about=about,
        )  # fmt: skip
        command.log.say(f'each image  {written}')
    except (OSError, StorageError) as error:
        command.log.say(f'warning: each image could not be written below {folder}: {error}')
