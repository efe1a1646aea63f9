"""Changes to images on the device, inside the jitted step: `(keys, images) -> images`, pure.

`keys` are typed PRNG keys (batch,), one per image, so that an image's change depends on (seed, epoch, index) and not on
the batch or the device it is in. Settings are keyword arguments: bind them with `functools.partial`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array


def random_shift(keys: Array, images: Array, *, max_shift: int = 3) -> Array:
    """Moves each image by up to `max_shift` pixels up or down and left or right, uniformly; zeros come in at the edge.

    `images` (batch, height, width, channels) of any dtype, which is kept.
    """
    padded = jnp.pad(images, ((0, 0), (max_shift, max_shift), (max_shift, max_shift), (0, 0)))

    def shift(key: Array, image: Array) -> Array:
        top, left = jax.random.randint(key, (2,), 0, 2 * max_shift + 1)
        return jax.lax.dynamic_slice(image, (top, left, 0), images.shape[1:])

    return jax.vmap(shift)(keys, padded)


def to_unit_range(keys: Array, images: Array) -> Array:
    """uint8 0 .. 255 as float32 0 .. 1."""
    return to_range(keys, images, low=0.0, high=1.0)


def to_range(keys: Array, images: Array, *, low: float, high: float) -> Array:
    """uint8 0 .. 255 as float32 `low` .. `high`."""
    del keys
    return low + images.astype(jnp.float32) * ((high - low) / 255)


def standardise(keys: Array, images: Array, *, mean: Sequence[float], std: Sequence[float]) -> Array:
    """uint8 0 .. 255 as float32 (pixel / 255 - mean) / std, a mean and a standard deviation per channel, of 0 .. 1."""
    unit = to_unit_range(keys, images)
    per_channel = (1, 1, 1, -1)
    return (unit - jnp.asarray(mean, jnp.float32).reshape(per_channel)) / jnp.asarray(std, jnp.float32).reshape(
        per_channel
    )
