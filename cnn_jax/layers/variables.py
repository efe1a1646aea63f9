"""How a layer makes its variables: trained or fixed, with a term in the loss or without."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import ScopeParamShapeError

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
        value = make_parameter(module, name, initializer, shape)
    else:

        def initial() -> jax.Array:
            return initializer(module.make_rng('params'), shape, jnp.float32)

        value = module.variable('constants', name, initial).value
    if regularizer is not None:
        add_loss(module, f'{name}_regularizer', regularizer(value), repeated=lambda old, new: new)
    return value


def make_parameter(module: nn.Module, name: str, initializer: Any, shape: tuple[int, ...]) -> jax.Array:
    """The float32 parameter `name` of a layer, as `module.param` makes and reads it.

    What is there is read and its shape compared with `shape`. Flax traces the initializer instead to learn its shape:
    a third of the time in which a net's forward pass is traced.

    Raises:
        flax.errors.ScopeParamShapeError: the parameter that is there has another shape.
    """
    if not module.has_variable('params', name):
        return module.param(name, initializer, shape, jnp.float32)
    value = nn.meta.unbox(module.get_variable('params', name))
    if np.shape(value) != shape:
        scope: Any = module.scope
        raise ScopeParamShapeError(name, scope.path_text, np.shape(value), shape)
    return value


def add_loss(module: nn.Module, name: str, value: jax.Array, repeated: Callable[[Any, Any], Any] = jnp.add) -> None:
    """Writes a scalar to the collection `losses`, which a training step asks for and sums; `repeated` joins two calls.

    Nothing is written while the model is initialised, so the collection is never part of the variables.
    """
    if not module.is_initializing():
        module.sow('losses', name, value, init_fn=lambda: jnp.zeros(()), reduce_fn=repeated)
