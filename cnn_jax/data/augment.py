"""Changes to images on the device, inside the jitted step: `(keys, images) -> images`, pure.

`keys` are typed PRNG keys (batch,), one per image, so that an image's change depends on (seed, epoch, index) and not on
the batch or the device it is in. Each change draws from the stream of its own name (see `streams`), so that two changes
may be given the same keys. Settings are keyword arguments; `on_images` takes them, `functools.partial` binds them.

An experiment's changes see the whole batch, `(keys, batch) -> batch`: `on_images` makes such a change of one of images
alone. A change that moves pixels has a form in `augment_geometry` that moves boxes, key points and segmentations too.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.data import augment_draw
from cnn_jax.data.formats import annotations
from cnn_jax.streams import stream

Transform = Callable[[Array, Array], Array]
"""(keys, images) -> images"""

Batch = dict[str, Array]
"""A batch on the device: 'image', 'mask', 'index', 'epoch', and what the data source declares; see `fields`."""

BatchTransform = Callable[[Array, Batch], Batch]
"""(keys, batch) -> batch"""

Value = TypeVar('Value')
Function = TypeVar('Function', bound=Callable[..., Any])

MARK = 'moves_pixels'


def moves_pixels(transform: Function) -> Function:
    """Marks that `transform`, of images alone, moves pixels, so that `on_images` does not leave a box behind."""
    setattr(transform, MARK, True)  # stays on what jax.jit makes of it
    return transform


def compose(*transforms: Callable[[Array, Value], Value]) -> Callable[[Array, Value], Value]:
    """One after the other, each with random numbers of its own: all of images, or all of batches."""
    return functools.partial(_one_by_one, transforms)


def _one_by_one(transforms: tuple[Callable[[Array, Value], Value], ...], keys: Array, value: Value) -> Value:
    for number, transform in enumerate(transforms):
        value = transform(stream(keys, f'augment/compose/{number}'), value)
    return value


def on_images(transform: Callable[..., Array], *, leave_fields: bool = False, **settings: Any) -> BatchTransform:
    """The change of a batch that changes its 'image' by `transform` with its settings, and passes all other fields on.

    A change of colours needs no more than this. A change that moves pixels does, if the batch has boxes, key points or
    a segmentation: `leave_fields` says that those shall stay where they are.

    `on_images(compose(a, b))` and `compose(on_images(a), on_images(b))` draw the same random numbers.

    Raises:
        ValueError: when called, if `transform` moves pixels and the batch has a field that would have to follow. A
            function of the user's own is known to move pixels if it changes the size of the images, or is marked by
            `moves_pixels`.
    """

    def on_batch(keys: Array, batch: Batch) -> Batch:
        images = transform(keys, batch['image'], **settings)
        following = [name for name in annotations.FOLLOWING if name in batch]
        moves = images.shape[1:3] != batch['image'].shape[1:3] or _is_moving(transform)
        if following and moves and not leave_fields:
            module = 'augment_pairs' if 'high_resolution' in following else 'augment_geometry'
            raise ValueError(
                f'on_images: {_name(transform)} moves pixels, and the batch has {", ".join(following)}; take a '
                f'transform of cnn_jax.data.{module}, or leave_fields=True if they shall stay where they are'
            )
        return {**batch, 'image': images}

    return on_batch


def _is_moving(transform: Any) -> bool:
    """Whether a function, what `partial` binds or a part of what `compose` joins is marked by `moves_pixels`."""
    if not isinstance(transform, functools.partial):
        return getattr(transform, MARK, False)
    if transform.func is _one_by_one:
        return any(_is_moving(part) for part in transform.args[0])
    return _is_moving(transform.func)


def _name(transform: Any) -> str:
    if not isinstance(transform, functools.partial):
        return getattr(transform, '__name__', repr(transform))
    if transform.func is _one_by_one:
        return f'compose({", ".join(_name(part) for part in transform.args[0])})'
    return _name(transform.func)


def to_dtype(images: Array, dtype: jnp.dtype) -> Array:
    """Pixels 0 .. 255 as `dtype`; rounded and held within the range where that is an integer type."""
    if jnp.issubdtype(dtype, jnp.integer):
        images = jnp.clip(jnp.round(images), 0, 255)
    return images.astype(dtype)


@moves_pixels
def random_flip(keys: Array, images: Array, *, probability: float = 0.5) -> Array:
    """Mirrors some images, left to right."""
    chosen = augment_draw.draw_mirrored(keys, probability)
    return jnp.where(chosen[:, None, None, None], images[:, :, ::-1], images)


@moves_pixels
def random_crop(keys: Array, images: Array, *, size: int, padding: int = 0, reflect: bool = False) -> Array:
    """A square of `size` pixels from anywhere in each image, after `padding` with zeros, or its reflection.

    `size=32, padding=4` is the usual one for CIFAR (Lee et al. 2014, arXiv:1409.5185; He et al. 2015).
    """
    edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = jnp.pad(images, edges, mode='reflect' if reflect else 'constant')
    height, width, channels = padded.shape[1:]
    if min(height, width) < size:
        raise ValueError(f'size: got {size}; images of {height} x {width} with their padding are smaller')

    def crop(corner: Array, image: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (size, size, channels))

    room = (height - size + 1, width - size + 1)
    return jax.vmap(crop)(augment_draw.draw_corners(keys, room, 'augment/random_crop'), padded)


@moves_pixels
def centre_crop(keys: Array, images: Array, *, size: int) -> Array:
    """The central square of `size` pixels, placed as torchvision does; uses no keys."""
    del keys
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise ValueError(f'size: got {size}; the images are {height} x {width}')
    top, left = augment_draw.centre_corner((height, width), (size, size))
    return images[:, top : top + size, left : left + size]


@moves_pixels
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
    start, sides = augment_draw.draw_boxes(keys, (images.shape[1], images.shape[2]), area, ratio)
    scale = size / sides
    return resample(images, scale, -start * scale, (size, size))


def resample(images: Array, scale: Array, translation: Array, size: tuple[int, int]) -> Array:
    """Images of `size` (height, width) with the place p of each image at scale * p + translation; the type is kept.

    Bilinear, with antialias where it shrinks; black outside. `scale`, `translation`: float32 (batch, 2), down and
    across; places are in pixels from the upper left corner of the upper left pixel.
    """
    shape = (*size, images.shape[3])

    def one(image: Array, scale: Array, translation: Array) -> Array:
        return jax.image.scale_and_translate(image, shape, (0, 1), scale, translation, 'linear')

    return to_dtype(jax.vmap(one)(images.astype(jnp.float32), scale, translation), images.dtype)


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
        chance, shares, shapes, places = (
            stream(key, f'augment/random_erasing/{name}') for name in ('chance', 'area', 'ratio', 'place')
        )
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

    inside = jax.vmap(box)(stream(keys, 'augment/cutout'))
    return jnp.where(inside[..., None], jnp.asarray(value, images.dtype), images)


def in_box(height: int, width: int, start: Array, end: Array) -> Array:
    """Which pixels are in a box, bool (height, width); `start`, `end`: (2,) row and column, the end outside."""
    rows, columns = jnp.arange(height), jnp.arange(width)
    inside_rows = (rows >= start[0]) & (rows < end[0])
    inside_columns = (columns >= start[1]) & (columns < end[1])
    return inside_rows[:, None] & inside_columns[None, :]


@moves_pixels
def random_shift(keys: Array, images: Array, *, max_shift: int = 3) -> Array:
    """Moves each image by up to `max_shift` pixels up or down and left or right, uniformly; zeros come in at the edge.

    `images` (batch, height, width, channels) of any dtype, which is kept.
    """
    padded = jnp.pad(images, ((0, 0), (max_shift, max_shift), (max_shift, max_shift), (0, 0)))

    def shift(corner: Array, image: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), images.shape[1:])

    room = (2 * max_shift + 1, 2 * max_shift + 1)
    return jax.vmap(shift)(augment_draw.draw_corners(keys, room, 'augment/random_shift'), padded)


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
