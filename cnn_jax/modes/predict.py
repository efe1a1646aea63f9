"""Says what a run, or weights from elsewhere, make of pictures without labels, and writes it into a table.

python -m cnn_jax.main --mode=predict --workdir=RUN --images=pictures/ --output=predictions.csv
"""

from pathlib import Path

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
    from cnn_jax.devices import mapping
    from cnn_jax.prediction.load import of_experiment
    from cnn_jax.prediction.run import predict
    from cnn_jax.training import restore
    from cnn_jax.training.as_trained import prepare_as_trained

    given, log = command.flags, command.log
    if given.images is None and given.questions is None:
        raise CnnJaxError("--mode=predict needs --images=FILE, FOLDER or a pattern in quotes: 'photos/*.jpg'")
    loaded = prepare_as_trained(command.load(beside_run=False), command.init_from, given, log.say)
    variables, _ = restore.trained_variables(
        loaded, command.workdir, command.init_from, mapping.make_mesh(), log, which=given.checkpoint
    )
    output = Path(given.output).expanduser() if given.output else None
    net = of_experiment(loaded, variables, str(command.workdir or command.init_from))
    questions = Path(given.questions).expanduser() if given.questions else None
    batch_size = given.eval_batch_size or BATCH
    predict(net, given.images, output, questions=questions, batch_size=batch_size, stop=command.stop, log=log)
