"""Penalties on a variable or on outputs: functions of an array to a scalar, as `Conv2D(kernel_regularizer=...)` takes.

They have Keras's scale: `l2(0.01)` is 0.01 times the sum of squares, without a half.
"""

import jax
import jax.numpy as jnp

from cnn_jax.layers.variables import Regularizer


def l1(strength: float) -> Regularizer:
    """`strength` times the sum of absolute values."""
    return l1_l2(l1=strength)


def l2(strength: float) -> Regularizer:
    """`strength` times the sum of squares."""
    return l1_l2(l2=strength)


def l1_l2(l1: float = 0.0, l2: float = 0.0) -> Regularizer:
    """Both: `l1` times the sum of absolute values plus `l2` times the sum of squares.

    Raises:
        ValueError: if a strength is negative.
    """
    if l1 < 0 or l2 < 0:
        raise ValueError(f'a regularizer of strength l1={l1}, l2={l2} given; strengths are at least 0')

    def penalty(array: jax.Array) -> jax.Array:
        return l1 * jnp.sum(jnp.abs(array)) + l2 * jnp.sum(jnp.square(array))

    return penalty
