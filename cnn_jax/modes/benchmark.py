"""Prints what a training step costs here, on 1, 2, 4, ... devices; with --workdir, writes it there too.

python -m cnn_jax.main --mode=benchmark --experiment=lenet_digits
"""

from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import DATA_DIR, DISTRIBUTED, PARALLEL, SEED

FLAGS = (SEED, DATA_DIR, PARALLEL, DISTRIBUTED)


def run(command: Command) -> None:
    from cnn_jax.training.benchmark import benchmark

    benchmark(
        command.load(),
        seed=command.flags.seed,
        data_dir=command.data_dir,
        parallel=command.flags.parallel,
        workdir=command.workdir,
        log=command.log,
    )
