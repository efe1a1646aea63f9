"""Changes that move pixels, of a whole batch: `(keys, batch) -> batch`, pure.

Boxes, key points and a segmentation go along, as far as the batch has them; their convention is in `fields`. The image
is that of the function of the same name in `augment`, to the last bit, with the same keys. A change of colours moves
nothing: `augment.on_images` makes a batch's change of it.

`size` is in pixels, one number for a square or (height, width). `border` says which boxes stay that the border cuts.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from cnn_jax.data import augment_draw
from cnn_jax.data.augment import Batch
from cnn_jax.data.augment_affine import Border, make_affine, move

Size = int | tuple[int, int]
Pairs = Sequence[tuple[int, int]]
WHOLE = Border()


def random_flip(keys: Array, batch: Batch, *, probability: float = 0.5, swap: Pairs = ()) -> Batch:
    """Mirrors some images, left to right.

    swap: the numbers of the key points that change their names in a mirror, such as ((1, 2), (3, 4)): the left eye
        and the right eye. A batch without key points leaves it unread.

    Raises:
        ValueError: a number of `swap` is no key point, or stands there twice.
    """
    mirror = augment_draw.draw_mirrored(keys, probability)
    moved = move(batch, make_affine(len(keys), _sizes(batch), mirror=mirror))
    if 'keypoints' in batch and swap:
        order = _order(swap, batch['keypoints'].shape[-2])
        for name, axis in (('keypoints', -2), ('visible', -1)):
            if name in moved:
                chosen = mirror.reshape(-1, *(1,) * (moved[name].ndim - 1))
                moved[name] = jnp.where(chosen, jnp.take(moved[name], order, axis), moved[name])
    return moved


def random_crop(
    keys: Array, batch: Batch, *, size: Size, padding: int = 0, reflect: bool = False, border: Border = WHOLE
) -> Batch:
    """A piece of `size` from anywhere in each image, after `padding` with zeros, or its reflection.

    What the reflection shows has no boxes and no class: see `move`.

    Raises:
        ValueError: the images with their padding are smaller than `size`.
    """
    new, sizes = _read_size(size), _sizes(batch)
    height, width = (length + 2 * padding for length in sizes)
    if new[0] > height or new[1] > width:
        raise ValueError(f'size: got {size}; images of {height} x {width} with their padding are smaller')
    room = (height - new[0] + 1, width - new[1] + 1)
    corners = augment_draw.draw_corners(keys, room, 'augment/random_crop') - padding
    affine = make_affine(len(keys), new, translation=-corners[:, ::-1])
    return move(batch, affine, border=border, reflect=reflect)


def centre_crop(keys: Array, batch: Batch, *, size: Size, border: Border = WHOLE) -> Batch:
    """The central piece of `size`, placed as torchvision does; uses no keys.

    Raises:
        ValueError: the images are smaller than `size`.
    """
    new, (height, width) = _read_size(size), _sizes(batch)
    if new[0] > height or new[1] > width:
        raise ValueError(f'size: got {size}; the images are {height} x {width}')
    top, left = augment_draw.centre_corner((height, width), new)
    return move(batch, make_affine(len(keys), new, translation=(-left, -top)), border=border)


def random_shift(keys: Array, batch: Batch, *, max_shift: int = 3, border: Border = WHOLE) -> Batch:
    """Moves each image by up to `max_shift` pixels up or down and left or right, uniformly; zeros come in."""
    room = (2 * max_shift + 1, 2 * max_shift + 1)
    corners = augment_draw.draw_corners(keys, room, 'augment/random_shift') - max_shift
    return move(batch, make_affine(len(keys), _sizes(batch), translation=-corners[:, ::-1]), border=border)


def random_resized_crop(
    keys: Array,
    batch: Batch,
    *,
    size: Size,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    border: Border = WHOLE,
) -> Batch:
    """A piece of each image with a share of its area and a ratio of width to height, resized to `size`.

    Szegedy et al. 2014, arXiv:1409.4842. Bilinear with antialias; the segmentation takes the nearest pixel. A piece
    that does not fit is made to: torchvision draws another.
    """
    new = _read_size(size)
    start, sides = augment_draw.draw_boxes(keys, _sizes(batch), area, ratio)  # (batch, 2), row and column
    scale = jnp.array(new, jnp.float32)[None, :] / sides
    translation = -start * scale
    affine = make_affine(len(keys), new, scale=scale[:, ::-1], translation=translation[:, ::-1], resampled=True)
    return move(batch, affine, border=border)


def resize(keys: Array, batch: Batch, *, size: Size, letterbox: bool = False, border: Border = WHOLE) -> Batch:
    """All images to `size`, bilinear with antialias; the segmentation takes the nearest pixel. Uses no keys.

    letterbox: keeps the ratio of the sides: as large as fits, rounded to whole pixels, in the middle, zeros around it.
    """
    new, sizes = _read_size(size), _sizes(batch)
    inner = _fitting(sizes, new) if letterbox else new
    affine = make_affine(
        len(keys),
        new,
        scale=(inner[1] / sizes[1], inner[0] / sizes[0]),
        translation=((new[1] - inner[1]) // 2, (new[0] - inner[0]) // 2),
        resampled=True,
    )
    return move(batch, affine, border=border)


def _sizes(batch: Batch) -> tuple[int, int]:
    """(height, width) of the images."""
    return batch['image'].shape[1], batch['image'].shape[2]


def _read_size(size: Size) -> tuple[int, int]:
    """(height, width) of the new images."""
    height, width = size if isinstance(size, tuple) else (size, size)
    if min(height, width) < 1:
        raise ValueError(f'size: got {size}; give pixels, 1 at least, as one number or (height, width)')
    return height, width


def _fitting(sizes: tuple[int, int], new: tuple[int, int]) -> tuple[int, int]:
    """The largest (height, width) within `new` that has the ratio of `sizes`, each side of a pixel at least."""
    scale = min(new[0] / sizes[0], new[1] / sizes[1])
    return max(1, round(sizes[0] * scale)), max(1, round(sizes[1] * scale))


def _order(swap: Pairs, num: int) -> Array:
    """Which key point comes to each place in a mirror, int32 (num,)."""
    order = list(range(num))
    named = [number for pair in swap for number in pair]
    if len(set(named)) < len(named) or not all(0 <= number < num for number in named):
        raise ValueError(
            f'swap: got {tuple(swap)}; give pairs of the {num} key points 0 .. {num - 1}, each at most once'
        )
    for one, other in swap:
        order[one], order[other] = other, one
    return jnp.array(order)
