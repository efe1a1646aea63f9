"""Lists the classes of an experiment or of a run.

python -m cnn_jax.main --mode=list_classes --experiment=lenet_digits --most=5
"""

from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import Flag

FLAGS = (Flag('most', 'classes that are listed; default: all', 'number', least=1),)


def run(command: Command) -> None:
    names = command.load().experiment.data.class_names
    for name in names[: command.flags.most]:
        command.log.say(name)
