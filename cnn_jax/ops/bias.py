"""Adding a bias, whose gradient is a sum over all pixels: in float32 where they have 16 bits."""

import functools

import jax
import jax.numpy as jnp

from cnn_jax.ops.cpu import batch_minor
from cnn_jax.ops.implementation import accumulator, by_platform, is_plain, same_axes


def add_bias(outputs: jax.Array, bias: jax.Array, *, is_batch_minor: bool = False) -> jax.Array:
    """Returns outputs + bias, in the type of the outputs.

    outputs: (..., channels); bias: (channels,). is_batch_minor: on a CPU the gradient is summed in that order.
    """
    wide = accumulator(outputs.dtype)
    if is_plain() or (outputs.dtype == wide and not is_batch_minor):
        return (outputs.astype(wide) + _row(bias.astype(wide), outputs)).astype(outputs.dtype)
    return _add(is_batch_minor, *same_axes(outputs, bias))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _add(is_batch_minor: bool, outputs: jax.Array, bias: jax.Array) -> jax.Array:
    del is_batch_minor
    return outputs + _row(bias, outputs)


def _add_forward(is_batch_minor: bool, outputs: jax.Array, bias: jax.Array) -> tuple[jax.Array, None]:
    return _add(is_batch_minor, outputs, bias), None


def _add_backward(is_batch_minor: bool, _: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    cpu = batch_minor.bias_gradient if is_batch_minor else None
    return gradient, by_platform(_sum, gradient, cpu=cpu)


_add.defvjp(_add_forward, _add_backward)


def _sum(gradient: jax.Array) -> jax.Array:
    wide = gradient.astype(accumulator(gradient.dtype))
    return jnp.sum(wide, tuple(range(gradient.ndim - 1))).astype(gradient.dtype)


def _row(bias: jax.Array, outputs: jax.Array) -> jax.Array:
    return bias.reshape((1,) * (outputs.ndim - 1) + (-1,))
