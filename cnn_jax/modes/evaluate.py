"""Prints what the latest checkpoint of a run, or weights from elsewhere, do on the test split, and on other sets."""

from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import DATA_DIR, DISTRIBUTED, EVAL_BATCH_SIZE, INIT_FROM, PARALLEL, Flag

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
    from cnn_jax.devices import mapping
    from cnn_jax.devices.feed import open_feed
    from cnn_jax.evaluation.evaluate import evaluate
    from cnn_jax.tasks.classification import words
    from cnn_jax.training import restore

    loaded = command.load(beside_run=False)
    experiment, mesh, log = loaded.experiment, mapping.make_mesh(), command.log
    size = command.flags.eval_batch_size or experiment.data.batch_size

    def poll() -> None:
        command.stop.poll('stopped during evaluation')

    variables, _ = restore.trained_variables(loaded, command.workdir, command.init_from, mesh, log)
    feed = open_feed(experiment.data, data_dir=command.data_dir, seed=0, mesh=mesh)
    protocols, sets = command.flags.protocols, command.flags.sets
    if protocols or sets:
        from cnn_jax.evaluation.protocols import compare

        table = compare(
            experiment,
            variables,
            feed.source('test'),
            protocols=(protocols or 'center').split(','),
            sets=sets.split(',') if sets else [],
            data_dir=command.data_dir,
            batch_size=size,
            mesh=mesh,
            say=log.say,
            poll=poll,
        )
        log.say(f'\n{table}')
        return
    result = evaluate(
        mapping.map_eval(experiment.eval_step(), mesh, parallel=command.flags.parallel),
        variables,
        feed.test(size),
        num_classes=experiment.data.num_classes,
        poll=poll,
    )
    log.say(words.describe(result, experiment.data.class_names))
