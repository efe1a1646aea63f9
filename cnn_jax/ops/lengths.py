"""Roots and Euclidean lengths of large numbers: in float32 the square of 1e20 is infinite, and its root need not be."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def root(squares: jax.Array) -> jax.Array:
    """Returns the square root of what is not negative, with the gradient 0 at 0, where it has none."""
    nothing = squares == 0  # and not `squares > 0`, which would make a zero of a NaN
    return jnp.where(nothing, jnp.zeros_like(squares), jnp.sqrt(jnp.where(nothing, jnp.ones_like(squares), squares)))


def shrink(largest: jax.Array) -> jax.Array:
    """Returns by what to multiply numbers of magnitudes up to `largest` before they are squared and added up.

    It is 1, so that nothing changes, but where the sum could overflow: 2^-70 above 2^40 in float32. A power of 2 rounds
    nothing, and what it makes vanish is too small to count beside the largest. It carries no gradient.
    """
    half = jnp.finfo(largest.dtype).maxexp // 2
    large, small = (jnp.full_like(largest, 2.0**power) for power in (half - 24, -half - 6))
    return lax.stop_gradient(jnp.where(largest > large, small, jnp.ones_like(largest)))


def length(array: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """Returns the square root of the sum of squares along `axis`, which stays with size 1; its gradient at 0 is 0."""
    factor = shrink(jnp.max(jnp.abs(array), axis=axis, keepdims=True))
    return root(jnp.sum(jnp.square(array * factor), axis=axis, keepdims=True)) / factor


def length_of_all(arrays: Iterable[Any]) -> jax.Array:
    """Returns the square root of the sum of squares of all numbers of some arrays, a scalar.

    Only where that sum overflows are the arrays read twice, each shrunk by its own largest number. With one factor for
    all, XLA repeats what it takes in the code of every array, and compiles in time with the square of their number.
    """
    leaves = [jnp.asarray(array) for array in arrays]
    leaves = [leaf for leaf in leaves if leaf.size]
    if not leaves:
        return jnp.zeros(())

    def shrunk() -> jax.Array:
        return length(jnp.stack([length(leaf.ravel())[0] for leaf in leaves]))[0]

    total = jnp.stack([jnp.sum(jnp.square(leaf)) for leaf in leaves]).sum()
    return lax.cond(jnp.isfinite(total), lambda: jnp.sqrt(total), shrunk)
