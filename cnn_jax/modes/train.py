"""Trains an experiment in a work folder, evaluates it, writes its report.

python -m cnn_jax.main --experiment=lenet_digits --workdir=runs/lenet
"""

from cnn_jax.errors import CnnJaxError
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import (
    DATA_DIR,
    DISTRIBUTED,
    EVAL_BATCH_SIZE,
    FOLD,
    INIT_FROM,
    LOG_TO,
    PARALLEL,
    PICTURES,
    SEED,
)

FLAGS = (SEED, FOLD, INIT_FROM, DATA_DIR, EVAL_BATCH_SIZE, PARALLEL, DISTRIBUTED, LOG_TO, PICTURES)
POLLS = True
OUTLIVES_CONSOLE = True


def run(command: Command) -> None:
    from cnn_jax.training.run import train_in_folder
    from cnn_jax.workdir import sinks
    from cnn_jax.workdir.config import default_path

    loaded = command.load(new_options=True)
    if command.flags.fold is not None:
        loaded = loaded.with_fold(command.flags.fold)
    if command.workdir is None and command.joined:
        raise CnnJaxError('several processes need to be told one --workdir=FOLDER that all of them see')
    workdir = command.workdir or default_path(loaded.name)
    train_in_folder(
        loaded,
        workdir=workdir,
        seed=command.flags.seed,
        data_dir=command.data_dir,
        parallel=command.flags.parallel,
        eval_batch_size=command.flags.eval_batch_size,
        init_from=command.init_from,
        stop=command.stop,
        log=command.log_in(workdir, sinks.parse(command.flags.log_to)),
        pictures=command.flags.pictures,
    )
