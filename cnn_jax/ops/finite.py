"""Forms that are the same function on finite numbers alone, and what stands in for them where a number is not finite.

Such a form multiplies by zero what a direct sum does not read, and zero times infinity, or NaN, is NaN: one bad pixel
would reach other groups, and pixels outside its window.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.implementation import accumulator


def guarded(
    fast: Callable[..., jax.Array], direct: Callable[..., jax.Array], *suspects: int
) -> Callable[..., jax.Array]:
    """Returns a function that is `fast` where the arrays with these numbers are finite, and else `direct`."""

    def run(*arrays: jax.Array) -> jax.Array:
        found = [all_finite(lax.stop_gradient(arrays[number])) for number in suspects]
        return lax.cond(jnp.stack(found).all(), fast, direct, *arrays)

    return run


@jax.custom_batching.custom_vmap
def all_finite(array: jax.Array) -> jax.Array:
    """Returns whether all numbers are finite; under `vmap`, those of all rows, so that a conditional stays one.

    Zero times a number is zero or NaN. The last axis is left to the end, for a sum along it is no vector operation.
    """
    zeros = array.astype(accumulator(array.dtype)) * 0
    return jnp.all(jnp.sum(zeros, tuple(range(array.ndim - 1))) == 0)


@all_finite.def_vmap
def _all_rows_finite(axis_size: int, in_batched: list[bool], array: jax.Array) -> tuple[jax.Array, bool]:
    del axis_size, in_batched
    return all_finite(array), False


@jax.custom_batching.custom_vmap
def any_row(truth: jax.Array) -> jax.Array:
    """Returns a truth value, and under `vmap` whether it holds in any row, so that a conditional stays one."""
    return truth


@any_row.def_vmap
def _any_of_rows(axis_size: int, in_batched: list[bool], truth: jax.Array) -> tuple[jax.Array, bool]:
    del axis_size, in_batched
    return any_row(jnp.any(truth, 0)), False
