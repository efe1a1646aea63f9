"""Prints what a checkpoint of a run, or weights from elsewhere, do on a split, and on other sets."""

from cnn_jax.errors import CnnJaxError
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
    Flag,
)
from cnn_jax.modes._typed import listed

SPLITS = ('test', 'validation', 'train')
FLAGS = (
    INIT_FROM,
    ARCHITECTURE,
    PREPROCESSING,
    CHECKPOINT,
    Flag('split', 'which images; each look at the test split is counted', default='test', choices=SPLITS),
    DATA_DIR,
    EVAL_BATCH_SIZE,
    PARALLEL,
    DISTRIBUTED,
    Flag('protocols', 'views of an image: center,ten_crop,dense,dense_multi_scale,crops_144'),
    Flag('sets', 'more test sets of ImageNet: v2,real,a,r,sketch'),
)
POLLS = True


def run(command: Command) -> None:
    from cnn_jax.devices import processes
    from cnn_jax.training import restore
    from cnn_jax.training.as_trained import prepare_as_trained
    from cnn_jax.training.setup import Setup
    from cnn_jax.workdir.config import existing_config
    from cnn_jax.workdir.openings import count_opening
    from cnn_jax.workdir.seals import differences

    loaded = prepare_as_trained(command.load(beside_run=False), command.init_from, command.flags, command.log.say)
    experiment, log, split = loaded.experiment, command.log, command.flags.split
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
    which = command.flags.checkpoint
    variables, source = restore.trained_variables(
        loaded, command.workdir, command.init_from, setup.mesh, log, which=which
    )
    feed = setup.open_feed(seed=0)
    if command.workdir is not None:
        for line in differences(existing_config(command.workdir), {split: feed.seal(split)}):
            log.say(line)
    protocols, sets = command.flags.protocols, command.flags.sets
    if protocols or sets:
        from cnn_jax.evaluation.protocols import compare_protocols

        with log.working('evaluating views, batch') as told:

            def poll() -> None:
                setup.poll()
                told.next()

            table = compare_protocols(
                experiment,
                variables,
                feed.source(split),
                protocols=listed(protocols or 'center'),
                sets=listed(sets or ''),
                data_dir=command.data_dir,
                batch_size=setup.eval_batch_size,
                mesh=setup.mesh,
                say=log.say,
                poll=poll,
            )
        said = f'\n{table}'
    else:
        said = experiment.task.words(setup.evaluate(variables, feed, split), experiment.data)
    if split == 'test' and (folder := command.workdir) is not None:
        step = source['step']
        processes.main_process_first(lambda: count_opening(folder, step=step, by='evaluate', report=log.say))
    log.say(said)
