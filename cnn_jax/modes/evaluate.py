"""Prints what the latest checkpoint of a run, or weights from elsewhere, do on the test split, and on other sets."""

from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import DATA_DIR, DISTRIBUTED, EVAL_BATCH_SIZE, INIT_FROM, PARALLEL, Flag
from cnn_jax.modes._typed import listed

FLAGS = (
    INIT_FROM,
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
    from cnn_jax.training.setup import Setup
    from cnn_jax.workdir.config import existing_config
    from cnn_jax.workdir.seals import differences

    loaded = command.load(beside_run=False)
    experiment, log = loaded.experiment, command.log
    setup = Setup(
        experiment,
        data_dir=command.data_dir,
        parallel=command.flags.parallel,
        eval_batch_size=command.flags.eval_batch_size,
        poll=lambda: command.stop.poll('stopped during evaluation'),
        working=log.working,
    )
    variables, _ = restore.trained_variables(loaded, command.workdir, command.init_from, setup.mesh, log)
    feed = setup.open_feed(seed=0)
    if command.workdir is not None:
        for line in differences(existing_config(command.workdir), {'test': feed.seal('test')}):
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
                feed.source('test'),
                protocols=listed(protocols or 'center'),
                sets=listed(sets or ''),
                data_dir=command.data_dir,
                batch_size=setup.eval_batch_size,
                mesh=setup.mesh,
                say=log.say,
                poll=poll,
            )
        log.say(f'\n{table}')
        return
    log.say(experiment.task.words(setup.evaluate(variables, feed), experiment.data))
