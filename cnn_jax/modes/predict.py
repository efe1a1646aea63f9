"""Says what a run, or weights from elsewhere, make of pictures without labels, and writes it into a table.

python -m cnn_jax.main --mode=predict --workdir=RUN --images=pictures/ --output=predictions.csv
"""

from pathlib import Path
from typing import TYPE_CHECKING

from cnn_jax.errors import CnnJaxError
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import (
    ARCHITECTURE,
    CHECKPOINT,
    DATA_DIR,
    EVAL_BATCH_SIZE,
    INIT_FROM,
    OUTPUT,
    PREPROCESSING,
    QUESTIONS,
    Flag,
)

if TYPE_CHECKING:
    from cnn_jax.prediction.net import Net

FLAGS = (
    INIT_FROM,
    CHECKPOINT,
    Flag('images', "a file, a folder, or a pattern in quotes: 'photos/*.jpg'"),
    QUESTIONS,
    OUTPUT,
    EVAL_BATCH_SIZE,
    DATA_DIR,
    ARCHITECTURE,
    PREPROCESSING,
)
POLLS = True
BATCH = 64


def run(command: Command) -> None:
    from cnn_jax.prediction.run import predict

    given, log = command.flags, command.log
    if given.images is None and given.questions is None:
        raise CnnJaxError("--mode=predict needs --images=FILE, FOLDER or a pattern in quotes: 'photos/*.jpg'")
    net = _alone(command) or _of_experiment(command)
    output = Path(given.output).expanduser() if given.output else None
    questions = Path(given.questions).expanduser() if given.questions else None
    batch_size = given.eval_batch_size or BATCH
    predict(net, given.images, output, questions=questions, batch_size=batch_size, stop=command.stop, log=log)


def _alone(command: Command) -> 'Net | None':
    """The net of a weights file that says what it is, as `Net.save` writes it, or of a published architecture."""
    from cnn_jax.prediction.load import load

    given, file = command.flags, command.init_from
    if given.experiment or command.workdir or given.preprocessing or file is None or file.is_dir():
        return None
    if not file.exists():
        raise CnnJaxError(f'{file} is not there; give a weights file or a run, --init_from=FILE')
    if given.checkpoint not in (CHECKPOINT.default, 'latest'):
        raise CnnJaxError(f'--checkpoint is of a run, and {file} is a weights file; leave it out')
    net = load(file, architecture=given.architecture)
    command.log.say(repr(net).strip('<>'))
    return net


def _of_experiment(command: Command) -> 'Net':
    """The net of a run, or of an experiment with weights from elsewhere."""
    from cnn_jax.devices import mapping
    from cnn_jax.prediction.load import of_experiment
    from cnn_jax.training import restore
    from cnn_jax.training.as_trained import prepare_as_trained

    given, log = command.flags, command.log
    loaded = prepare_as_trained(command.load(beside_run=False), command.init_from, given, log.say)
    variables, _ = restore.trained_variables(
        loaded, command.workdir, command.init_from, mapping.make_mesh(), log, which=given.checkpoint
    )
    return of_experiment(loaded, variables, str(command.workdir or command.init_from))
