"""Constraints on variables, applied after the update of the optimizer.

A constraint is a function of an array to the nearest (or a near) allowed one. Layers only carry them;
`optax.chain(optimizer, constraints(model, images))` applies them.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from cnn_jax.ops.lengths import shrink
from cnn_jax.tracing.record import Called, record

Constraint = Callable[[jax.Array], jax.Array]


def max_norm(max_value: float = 2.0, *, axis: int | tuple[int, ...] = 0) -> Constraint:
    """Scales down what has a Euclidean norm above `max_value` along `axis`; (0, 1, 2) is a filter of a kernel."""
    return min_max_norm(0.0, max_value, axis=axis)


def min_max_norm(
    min_value: float = 0.0, max_value: float = 1.0, *, rate: float = 1.0, axis: int | tuple[int, ...] = 0
) -> Constraint:
    """Scales norms along `axis` towards [min_value, max_value]; `rate` below 1 goes only that part of the way."""

    def constrain(array: jax.Array) -> jax.Array:
        factor = shrink(jnp.max(jnp.abs(array), axis=axis, keepdims=True))
        shrunk = array * factor  # else the squares of 1e20 are infinite
        norms = jnp.sqrt(jnp.sum(jnp.square(shrunk), axis=axis, keepdims=True))
        wanted = jnp.clip(norms / factor, min_value, max_value)
        moved = shrunk * (wanted / jnp.where(norms == 0, 1, norms))
        kept = (norms == 0) | (wanted == norms / factor)
        return jnp.where(kept, array, rate * moved + (1 - rate) * array)

    return constrain


def unit_norm(*, axis: int | tuple[int, ...] = 0) -> Constraint:
    """Scales to a Euclidean norm of 1 along `axis`; zeros stay zeros."""
    return min_max_norm(1.0, 1.0, axis=axis)


def non_negative(array: jax.Array) -> jax.Array:
    """Puts 0 in the place of negative values."""
    return jnp.maximum(array, 0)


def constraints(model: nn.Module, images: Any, **call_options: Any) -> optax.GradientTransformation:
    """The last link of an optimizer's chain: makes every constrained parameter of the model obey after each update.

    model, images, call_options: what `model.init` takes (`train=False`); only shapes are looked at, nothing is run.
    The transform needs `params`, as `optax.chain` hands on.
    """
    found = _find(model, images, call_options)

    def init(params: Any) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(updates: Any, state: optax.OptState, params: Any = None) -> tuple[Any, optax.OptState]:
        if params is None:
            raise ValueError('constraints: params=None given; call update(gradients, state, params)')

        def limit(path: tuple[Any, ...], change: jax.Array, value: jax.Array) -> jax.Array:
            constraint = found.get(tuple(entry.key for entry in path))
            return change if constraint is None else constraint(value + change) - value

        return jax.tree.map_with_path(limit, updates, params), state

    return optax.GradientTransformation(init, update)


def _find(model: nn.Module, images: Any, call_options: dict[str, Any]) -> dict[tuple[str, ...], Constraint]:
    """The constraints of a model by path in `params`, from one abstract run of it."""
    found = {}

    def note(call: Called) -> None:
        for name in ('kernel', 'bias'):
            constraint = getattr(call.module, f'{name}_constraint', None)
            if constraint is not None and getattr(call.module, 'trainable', True):
                found[(*call.path, name)] = constraint

    with record(note):
        jax.eval_shape(lambda images: model.init(jax.random.key(0), images, **call_options), images)
    return found
