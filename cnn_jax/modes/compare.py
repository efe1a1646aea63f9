"""Compares runs with the first of them, image by image, on the console and on a page.

python -m cnn_jax.main --mode=compare runs/one runs/other
"""

from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import CHECKPOINT, DATA_DIR, SPLIT

FLAGS = (
    DATA_DIR,
    CHECKPOINT,
    SPLIT,
)
TAKES_PATHS = True
TAKES_OPTIONS = False


def run(command: Command) -> None:
    from cnn_jax.compare.run import compare_runs

    data_dir = command.data_dir if command.flags.data_dir else None
    compare_runs(
        command.paths,
        workdir=command.workdir,
        data_dir=data_dir,
        checkpoint=command.flags.checkpoint,
        split=command.flags.split,
        stop=command.stop,
        log=command.log,
    )
