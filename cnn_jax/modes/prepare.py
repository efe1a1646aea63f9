"""Builds or checks the data set of an experiment below --data_dir.

python -m cnn_jax.main --mode=prepare --experiment=lenet_mnist
"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import DATA_DIR

if TYPE_CHECKING:
    from cnn_jax.experiment import Loaded

FLAGS = (DATA_DIR,)


def run(command: Command) -> None:
    from cnn_jax.data.formats import file_seals

    loaded = command.load()
    with file_seals.wholly():
        loaded.experiment.data.prepare(command.data_dir, command.log.say)
    command.log.say(f'next: {training_command(loaded, command.data_dir)}')


def training_command(loaded: 'Loaded', data_dir: Path) -> str:
    """The command that trains an experiment: what is not as it would be without a word."""
    from cnn_jax.data.pipeline import default_data_dir
    from cnn_jax.experiment import function
    from cnn_jax.options import signature

    defaults = {option.name: option.default for option in signature(function(loaded.name))}
    given = {name: value for name, value in loaded.options.items() if value != defaults[name]}
    parts = ['python -m cnn_jax.main', f'--experiment={loaded.name}']
    for name, value in given.items():
        parts.append(f'--config.{name}={",".join(map(str, value)) if isinstance(value, tuple) else value}')
    parts += [f'--data_dir={data_dir}'] if data_dir != default_data_dir() else []
    return ' '.join([parts[0], *map(shlex.quote, parts[1:])])
