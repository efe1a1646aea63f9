"""Prints the table of layers, or what differs from another variant of the model; opens no data.

python -m cnn_jax.main --mode=describe --experiment=lenet_digits --formula
"""

import sys
from typing import TYPE_CHECKING, Any

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import Flag

if TYPE_CHECKING:
    from cnn_jax.experiment import Loaded

FLAGS = (
    Flag('formula', "show each layer's size formula", 'switch', False),
    Flag('diff', 'a variant of the model: show what differs from it'),
)


def run(command: Command) -> None:
    from cnn_jax.describe import format_difference, format_table, layer_table
    from cnn_jax.training import states

    loaded = command.load()
    model, data, shape = loaded.experiment.model, loaded.experiment.data, loaded.experiment.input_shape
    command.log.say(f'{loaded.name}: {model.__class__.__name__} on {data.name}')
    with command.log.working('tracing the model'), states.fitting(loaded.experiment):
        table = layer_table(model, shape)
    variant = command.flags.diff
    if variant is None:
        command.log.say(format_table(table, formula=command.flags.formula))
        return
    other = _other_variant(loaded, variant)
    names = (str(loaded.options.get('variant', 'this')), variant)
    command.log.say(format_difference(names, (model, other), (table, layer_table(other, shape))))


def _other_variant(loaded: 'Loaded', variant: str) -> Any:
    """The same experiment's model in another variant: by its option `variant`, else by VARIANTS of the model's file."""
    from cnn_jax.experiment import load

    if 'variant' in loaded.options:
        return load(loaded.name, {**loaded.options, 'variant': variant}).experiment.model
    variants = getattr(sys.modules[type(loaded.experiment.model).__module__], 'VARIANTS', {})
    if variant not in variants:
        raise CnnJaxError(unknown('variant', variant, variants))
    return variants[variant](num_classes=loaded.experiment.data.num_classes)
