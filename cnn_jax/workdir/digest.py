"""Digests of arrays: one number of all bits and their places, the same for every sharding."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

GOLDEN = np.uint32(2654435761)  # 2^32 / golden ratio, odd: spreads the positions over all words
SECOND = np.uint32(0x9E3779B9)  # tells the second half from the first
# Wellons' lowbias32 (2018, "Prospecting for hash functions"), an exact permutation of 32 bits in which each bit of the
# input changes each of the output with a chance near one half.
FIRST_FACTOR, SECOND_FACTOR = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)


@jax.jit
def digest(array: jax.Array) -> jax.Array:
    """64 bits of an array of any type, as two words, uint32 (2,).

    Each 32-bit word of the bit pattern is mixed with its position, and the results are added modulo 2^32. Integer sums
    do not depend on their order, so the digest is the same for every sharding. The mixing is a permutation for each
    position, so a change of one word always shows. Any other change has a chance of about 2^-64 to be missed: the sum
    is not linear in the words, and no pattern of flipped bits, moved blocks or exchanged values cancels in it.
    """
    words, position = _words(array)
    mixed = _mix(words ^ (position * GOLDEN))
    sums = [jnp.sum(part, dtype=jnp.uint32) for part in (mixed, _mix(mixed + SECOND))]
    return jnp.stack(sums)


@jax.jit
def linear_digest(array: jax.Array) -> jax.Array:
    """That of format 1, 32 bits: each word times an odd weight of its position, summed modulo 2^32.

    A change of one word always shows. An even number of flipped sign bits never does, which is why it is only read.
    """
    words, position = _words(array)
    return jnp.sum(words * (position * GOLDEN | np.uint32(1)), dtype=jnp.uint32)


DIGESTS: dict[int, Callable[[jax.Array], jax.Array]] = {1: linear_digest, 2: digest}
"""By the format of a checkpoint."""

FEW = 100  # arrays in one program; of more, those of one shape share a program, which compiles sooner


def of_each(arrays: Sequence[jax.Array], version: int) -> Sequence[jax.Array]:
    """The digest of each array, by the format of a checkpoint."""
    if len(arrays) > FEW:
        return [DIGESTS[version](array) for array in arrays]
    return _together(version, arrays)


@functools.partial(jax.jit, static_argnums=0)
def _together(version: int, arrays: Sequence[jax.Array]) -> Sequence[jax.Array]:
    return [DIGESTS[version](array) for array in arrays]


def as_text(value: np.ndarray) -> str:
    """A digest of one or two words as hexadecimal digits, eight a word."""
    return ''.join(f'{int(word):08x}' for word in np.ravel(value))


def _words(array: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The bit pattern as 32-bit words, and the position of each, uint32."""
    words = array.astype(jnp.uint8) if array.dtype == jnp.bool_ else array
    unsigned = {1: jnp.uint8, 2: jnp.uint16}.get(words.dtype.itemsize, jnp.uint32)
    words = jax.lax.bitcast_convert_type(words, unsigned).astype(jnp.uint32)  # 64-bit types gain an axis of 2
    position = jnp.zeros(words.shape, jnp.uint32)
    for axis, size in enumerate(words.shape):
        position = position * np.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
    return words, position


def _mix(words: jax.Array) -> jax.Array:
    words = (words ^ (words >> np.uint32(16))) * FIRST_FACTOR
    words = (words ^ (words >> np.uint32(15))) * SECOND_FACTOR
    return words ^ (words >> np.uint32(16))
