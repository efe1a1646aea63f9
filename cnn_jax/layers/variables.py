"""How a layer makes its variables: trained or fixed, with a term in the loss or without."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Initializer = Callable[..., jax.Array]
Regularizer = Callable[[jax.Array], jax.Array]


def make_weight(
    module: nn.Module,
    name: str,
    initializer: Any,
    shape: tuple[int, ...],
    *,
    trainable: bool = True,
    regularizer: Regularizer | None = None,
) -> jax.Array:
    """The float32 variable `name` of a layer, made by an `Initializer` at initialisation and read afterwards.

    It lives in `params`, or with `trainable=False` in `constants`, which no optimizer sees. The regularizer's value
    goes to the collection `losses`, once however often the layer is called.
    """
    if trainable:
        value = module.param(name, initializer, shape, jnp.float32)
    else:

        def initial() -> jax.Array:
            return initializer(module.make_rng('params'), shape, jnp.float32)

        value = module.variable('constants', name, initial).value
    if regularizer is not None:
        add_loss(module, f'{name}_regularizer', regularizer(value), repeated=lambda old, new: new)
    return value


def add_loss(module: nn.Module, name: str, value: jax.Array, repeated: Callable[[Any, Any], Any] = jnp.add) -> None:
    """Writes a scalar to the collection `losses`, which a training step asks for and sums; `repeated` joins two calls.

    Nothing is written while the model is initialised, so the collection is never part of the variables.
    """
    if not module.is_initializing():
        module.sow('losses', name, value, init_fn=lambda: jnp.zeros(()), reduce_fn=repeated)
