"""Changes of pairs for super-resolution, `(keys, batch) -> batch`: 'image' and 'high_resolution' move together.

`keys` are typed PRNG keys (batch,), one per image, as in `augment`. The scale is that of the two arrays of the batch.
"""

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.data.augment import Batch
from cnn_jax.data.formats.shrunk import HIGH
from cnn_jax.streams import stream


def random_crop(keys: Array, batch: Batch, *, size: int) -> Batch:
    """A square of `size` pixels from anywhere in each image, and the same piece of its high resolution.

    Raises:
        ValueError: the images are smaller than `size`, or the batch has no pairs.
    """
    scale = _scale(batch)
    height, width = batch['image'].shape[1:3]
    if not 1 <= size <= min(height, width):
        raise ValueError(f'size: got {size}; the images are {height} x {width}')
    room = jnp.array([height - size + 1, width - size + 1])
    own = stream(keys, 'augment_pairs/random_crop')
    corners = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, room))(own)
    return {
        **batch,
        'image': _cut(batch['image'], corners, size),
        HIGH: _cut(batch[HIGH], corners * scale, size * scale),
    }


def random_turn(keys: Array, batch: Batch) -> Batch:
    """One of the eight ways to lay a square on the table: mirrored or not, and turned by 0, 90, 180 or 270 degrees.

    Of Lim et al. 2017, arXiv:1707.02921, as training augmentation.

    Raises:
        ValueError: images that are no squares, or the batch has no pairs.
    """
    _scale(batch)
    height, width = batch['image'].shape[1:3]
    if height != width:
        raise ValueError(f'random_turn: images of {height} x {width}; squares alone stay as large when they are turned')
    own = stream(keys, 'augment_pairs/random_turn')
    flips = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (3,)))(own)  # rows and columns exchanged; down; across
    return {**batch, 'image': _laid(batch['image'], flips), HIGH: _laid(batch[HIGH], flips)}


def _scale(batch: Batch) -> int:
    """How much larger the high resolution is; ValueError where that is no whole number, or there is none."""
    if HIGH not in batch:
        raise ValueError(f'the batch has no {HIGH!r}; it has {", ".join(batch)}')
    low, high = batch['image'].shape[1:3], batch[HIGH].shape[1:3]
    scale = high[0] // low[0]
    if high != (low[0] * scale, low[1] * scale):
        raise ValueError(f'{HIGH}: {high} pixels for images of {low}; both sides are larger by one whole number')
    return scale


def _cut(images: Array, corners: Array, size: int) -> Array:
    """The square of each image (batch, height, width, channels) at its corner (batch, 2), row and column."""

    def cut(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (size, size, image.shape[-1]))

    return jax.vmap(cut)(images, corners)


def _laid(images: Array, flips: Array) -> Array:
    """Squares with rows and columns exchanged, and mirrored down and across, where `flips` (batch, 3) says so."""
    exchanged, down, across = (flips[:, number, None, None, None] for number in range(3))
    images = jnp.where(exchanged, images.swapaxes(1, 2), images)
    images = jnp.where(down, images[:, ::-1], images)
    return jnp.where(across, images[:, :, ::-1], images)
