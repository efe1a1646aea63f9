"""Arguments of layers as `tf.layers` and Keras take them: functions by name, and None for the default."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.errors import unknown
from cnn_jax.layers import initializers
from cnn_jax.layers.variables import Initializer

Activation = Callable[[jax.Array], jax.Array]

ACTIVATIONS: dict[str, Activation | None] = {
    'linear': None,
    'relu': nn.relu,
    'relu6': nn.relu6,
    'leaky_relu': nn.leaky_relu,
    'elu': nn.elu,
    'selu': nn.selu,
    'gelu': nn.gelu,
    'silu': nn.silu,
    'swish': nn.silu,
    'sigmoid': nn.sigmoid,
    'hard_sigmoid': nn.hard_sigmoid,
    'tanh': jnp.tanh,
    'softmax': nn.softmax,
    'softplus': nn.softplus,
    'softsign': nn.soft_sign,
}
INITIALIZERS: dict[str, Initializer] = {
    'lecun_normal': initializers.lecun_normal(),
    'he_normal': initializers.he_normal(),
    'glorot_uniform': initializers.glorot_uniform(),
    'zeros': nn.initializers.zeros_init(),
    'ones': nn.initializers.ones_init(),
}
FIELDS: dict[str, Mapping[str, Any]] = {
    'activation': ACTIVATIONS,
    'kernel_initializer': INITIALIZERS,
    'bias_initializer': INITIALIZERS,
}


def activate(activation: Activation | str | None, outputs: jax.Array) -> jax.Array:
    """The activation of outputs, after `resolve`; None leaves them as they are."""
    return activation(outputs) if callable(activation) else outputs


def resolve(module: nn.Module) -> None:
    """Puts functions in the place of names, and the layer's own initializers in that of None; in `__post_init__`.

    Raises:
        ValueError: a name that is none of these.
    """
    for field, known in FIELDS.items():
        if not hasattr(type(module), field):
            continue
        given = getattr(module, field)
        if isinstance(given, str):
            if given not in known:
                raise ValueError(f'{type(module).__name__}: {unknown(field, given, known)}; or give a function')
            given = known[given]
        elif given is None and known is INITIALIZERS:
            given = getattr(type(module), field)  # the default
        else:
            continue
        object.__setattr__(module, field, given)
