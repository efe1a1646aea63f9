"""Runs a grid of an experiment, each cell a run of its own, and writes the table and the page.

python -m cnn_jax.main --mode=ablate --experiment=lenet_digits --vary.activation=tanh,relu --seeds=5
"""

from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import DATA_DIR, INIT_FROM, LOG_TO, PICTURES, SEED, Flag

FLAGS = (
    SEED,
    Flag('seeds', 'runs of each cell, with --seed and the next ones', 'number', least=1),
    Flag('metric', 'what is compared: the headline of the task, or loss, train_loss, ...'),
    Flag('cell', 'run this one of the grid: the index of an array job', 'number', least=0),
    Flag('jobs', 'processes that share the cells of a grid', 'number', 1, least=1),
    Flag('dry_run', 'show the cells, then the expected time by a few steps of each; run none', 'switch', False),
    INIT_FROM,
    DATA_DIR,
    LOG_TO,
    PICTURES,
)
POLLS = True
OUTLIVES_CONSOLE = True
GROUPS = (Flag('vary', "values of an option, '1,2'; ';' between values that hold commas, '128,160;192,224'"),)


def run(command: Command) -> None:
    from cnn_jax.ablate.run import ablate

    given = command.flags
    ablate(
        given.experiment,
        options=command.options,
        vary=command.groups['vary'],
        workdir=command.workdir,
        seed=given.seed,
        seeds=given.seeds,
        metric=given.metric,
        cell=given.cell,
        jobs=given.jobs,
        dry_run=given.dry_run,
        log_to=given.log_to,
        init_from=command.init_from,
        data_dir=command.data_dir,
        stop=command.stop,
        log=command.log,
        pictures=given.pictures,
    )
