"""Changes to images on the device, inside the jitted step: `(keys, images) -> images`, pure.

`keys` are typed PRNG keys (batch,), one per image, so that an image's change depends on (seed, epoch, index) and not on
the batch or the device it is in. Settings are keyword arguments: bind them with `functools.partial`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Transform = Callable[[Array, Array], Array]
"""(keys, images) -> images"""


Batch = dict[str, Array]
BatchTransform = Callable[[Array, Batch], Batch]
"""(keys, batch) -> batch"""


def on_images(transform: Callable[..., Array], **settings: Any) -> BatchTransform:
    """Lifts."""
    return lambda keys, batch: {**batch, 'image': transform(keys, batch['image'], **settings)}


def compose(*transforms):
    """One after the other, each with random numbers of its own."""

    def composed(keys, images):
        for number, transform in enumerate(transforms):
            images = transform(fold(keys, number), images)
        return images

    return composed


def fold(keys: Array, number: int) -> Array:
    """Other keys, one for each of `keys`."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def to_dtype(images: Array, dtype: jnp.dtype) -> Array:
    """Pixels 0 .. 255 as `dtype`; rounded and held within the range where that is an integer type."""
    if jnp.issubdtype(dtype, jnp.integer):
        images = jnp.clip(jnp.round(images), 0, 255)
    return images.astype(dtype)


def random_flip(keys: Array, images: Array, *, probability: float = 0.5) -> Array:
    """Mirrors some images, left to right."""
    chosen = jax.vmap(lambda key: jax.random.bernoulli(key, probability))(keys)
    return jnp.where(chosen[:, None, None, None], images[:, :, ::-1], images)


def random_crop(keys: Array, images: Array, *, size: int, padding: int = 0, reflect: bool = False) -> Array:
    """A square of `size` pixels from anywhere in each image, after `padding` with zeros, or its reflection.

    `size=32, padding=4` is the usual one for CIFAR (Lee et al. 2014, arXiv:1409.5185; He et al. 2015).
    """
    edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = jnp.pad(images, edges, mode='reflect' if reflect else 'constant')
    height, width, channels = padded.shape[1:]
    if min(height, width) < size:
        raise ValueError(f'size: got {size}; images of {height} x {width} with their padding are smaller')

    def crop(key: Array, image: Array) -> Array:
        top, left = jax.random.randint(key, (2,), 0, jnp.array([height - size + 1, width - size + 1]))
        return jax.lax.dynamic_slice(image, (top, left, 0), (size, size, channels))

    return jax.vmap(crop)(keys, padded)


def centre_crop(keys: Array, images: Array, *, size: int) -> Array:
    """The central square of `size` pixels, placed as torchvision does; uses no keys."""
    del keys
    top, left = (round((length - size) / 2) for length in images.shape[1:3])
    if size > min(images.shape[1:3]):
        raise ValueError(f'size: got {size}; the images are {images.shape[1]} x {images.shape[2]}')
    return images[:, top : top + size, left : left + size]


def random_resized_crop(
    keys: Array,
    images: Array,
    *,
    size: int,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Array:
    """A box of each image with a share of its area and a ratio of width to height, resized, bilinear with antialias.

    For sets that stay on the device; the streamed ones are cropped as they are decoded. Szegedy et al. 2014,
    arXiv:1409.4842. A box that does not fit is made to: torchvision draws another.
    """
    height, width, channels = images.shape[1:]

    def crop(key: Array, image: Array) -> Array:
        shares, shapes, places = jax.random.split(key, 3)
        wanted = height * width * jax.random.uniform(shares, minval=area[0], maxval=area[1])
        shape = jnp.exp(jax.random.uniform(shapes, minval=math.log(ratio[0]), maxval=math.log(ratio[1])))
        box = jnp.minimum(jnp.sqrt(jnp.array([wanted / shape, wanted * shape])), jnp.array([height, width]))
        start = jax.random.uniform(places, (2,)) * (jnp.array([height, width]) - box)
        scale = size / box
        return jax.image.scale_and_translate(
            image.astype(jnp.float32), (size, size, channels), (0, 1), scale, -start * scale, 'linear'
        )

    return to_dtype(jax.vmap(crop)(keys, images), images.dtype)


def random_erasing(
    keys: Array,
    images: Array,
    *,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    ratio: tuple[float, float] = (0.3, 10 / 3),
    value: int | tuple[int, ...] = 0,
) -> Array:
    """Fills a box of some images with `value`, one or a colour: Zhong et al. 2017, arXiv:1708.04896.

    A box that does not fit is cut.
    """
    height, width = images.shape[1:3]

    def box(key: Array) -> Array:
        chance, shares, shapes, places = jax.random.split(key, 4)
        wanted = height * width * jax.random.uniform(shares, minval=area[0], maxval=area[1])
        shape = jnp.exp(jax.random.uniform(shapes, minval=math.log(ratio[0]), maxval=math.log(ratio[1])))
        sides = jnp.minimum(
            jnp.round(jnp.sqrt(jnp.array([wanted / shape, wanted * shape]))), jnp.array([height, width])
        )
        start = jnp.floor(jax.random.uniform(places, (2,)) * (jnp.array([height, width]) - sides + 1))
        inside = in_box(height, width, start, start + sides)
        return inside & jax.random.bernoulli(chance, probability)

    fill = jnp.broadcast_to(jnp.asarray(value, images.dtype), images.shape[-1:]).reshape(1, 1, 1, -1)
    return jnp.where(jax.vmap(box)(keys)[..., None], fill, images)


def cutout(keys: Array, images: Array, *, size: int = 16, value: int = 0) -> Array:
    """Fills a square around a pixel anywhere, cut at the edge: DeVries and Taylor 2017, arXiv:1708.04552."""
    height, width = images.shape[1:3]

    def box(key: Array) -> Array:
        centre = jax.random.randint(key, (2,), 0, jnp.array([height, width]))
        return in_box(height, width, centre - size // 2, centre - size // 2 + size)

    return jnp.where(jax.vmap(box)(keys)[..., None], jnp.asarray(value, images.dtype), images)


def in_box(height: int, width: int, start: Array, end: Array) -> Array:
    """Which pixels are in a box, bool (height, width); `start`, `end`: (2,) row and column, the end outside."""
    rows, columns = jnp.arange(height), jnp.arange(width)
    inside_rows = (rows >= start[0]) & (rows < end[0])
    inside_columns = (columns >= start[1]) & (columns < end[1])
    return inside_rows[:, None] & inside_columns[None, :]


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
