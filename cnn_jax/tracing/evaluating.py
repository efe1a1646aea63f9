"""How a Linen module of anybody's is called in evaluation with images alone, and why one cannot be."""

import inspect
from typing import Any

import flax.linen as nn

from cnn_jax.errors import CnnJaxError

# What evaluation is called among the arguments of a module.
WORDS = {
    'train': False,
    'training': False,
    'is_training': False,
    'deterministic': True,
    'use_running_average': True,
}


def options(model: nn.Module) -> dict[str, Any]:
    """The arguments that say evaluation, of those that a model takes: `train=False`, `deterministic=True`, ..."""
    return {name: value for name, value in WORDS.items() if name in _parameters(model)}


def check(model: nn.Module) -> None:
    """Raises: CnnJaxError for a model that needs more than images."""
    needed = [
        one.name
        for one in list(_parameters(model).values())[2:]  # after the module itself and the images
        if one.default is one.empty and one.name not in WORDS and _by_name(one)
    ]
    if needed:
        raise CnnJaxError(
            f'{type(model).__name__} takes {", ".join(needed)} beside the images; give a model of images alone, '
            'such as a module that calls this one with the rest'
        )


def refusal(model: nn.Module, images: Any, error: Exception) -> str:
    """One line on a model that cannot be called."""
    why = str(error).partition('\n')[0].partition(' (https://')[0] or type(error).__name__
    shape = tuple(images.shape)
    advice = 'are they of the size and the channels that it was made for?'
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        advice = 'the channels come last: (batch, height, width, channels)'
    return f'{type(model).__name__} cannot be called with images {shape}: {why}; {advice}'


def _parameters(model: nn.Module) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(type(model).__call__).parameters)


def _by_name(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
