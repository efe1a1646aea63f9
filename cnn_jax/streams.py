"""Streams of random numbers: each consumer of a key has a full name, and its numbers are those of that name.

Under JAX's default `fold_in(key, i)` is `split(key)[i]`, and the bits of a key are drawn from the same values. Two
consumers that take one key in two ways can so draw the same numbers. Here a key has one use of three:

- bits are drawn from it, once;
- streams are drawn from it, by names (`stream`);
- it is numbered, by a step, an epoch, a row or a turn of a loop (`numbered`).

`tests/test_streams.py` traces the training step of every experiment and asserts that no key has two uses.
"""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def stream(keys: Array, name: str) -> Array:
    """The key of the consumer of that name, for each of `keys`: typed PRNG keys of any shape, which is kept.

    name: the full name, 'augment/random_erasing/area'. Its CRC-32 (the same in every process and version) is folded in.
    """
    return _fold(keys, number_of(name))


def number_of(name: str) -> np.uint32:
    """What stands for a name: its CRC-32."""
    return np.uint32(zlib.crc32(name.encode()))


def numbered(keys: Array, numbers: Array | int) -> Array:
    """Other keys: number i of each key. `numbers` is a whole number, or an integer array of the shape of `keys`.

    One key with an array of numbers gives a key for each of them.
    """
    shape = jnp.broadcast_shapes(keys.shape, jnp.shape(numbers))  # of a batch that is only a name too
    if not keys.ndim and shape:
        return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(keys, numbers)
    return _fold(keys, numbers)


def settled(keys: Array) -> Array:
    """The same keys, computed once.

    On a CPU, XLA fuses the way to a key into the loop that draws numbers from it, and goes it anew for each number:
    dropout in AlexNet's step took a fifth longer. It does not fuse through a conditional, whose two branches are the
    same function here.
    """
    data = jax.random.key_data(keys)
    kept = lax.platform_dependent(data, cpu=_apart, default=lambda data: data)
    return jax.random.wrap_key_data(kept, impl=jax.random.key_impl(keys))


def _apart(data: Array) -> Array:
    first = (0,) * data.ndim
    return lax.cond(data[first] == 0, lambda data: data.at[first].set(0), lambda data: data, data)


def _fold(keys: Array, numbers: Array | np.uint32 | int) -> Array:
    """`fold_in` for keys of any shape."""
    fold = jax.random.fold_in
    for _ in range(keys.ndim):
        fold = jax.vmap(fold, in_axes=(0, 0 if np.ndim(numbers) else None))
    return fold(keys, numbers)
