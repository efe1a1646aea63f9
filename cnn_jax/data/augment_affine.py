"""Where the pixels of an image go, as one affine map, and what of a batch goes with them.

`move` applies a map to the images of a batch and to the fields that say where something is in them: boxes, key points
and a segmentation, of the convention in `fields`. A field that the batch does not have is not made up.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.data.augment import Batch, resample
from cnn_jax.data.formats import annotations
from cnn_jax.ops.boxes import box_area

SLACK = 1e-3
"""Pixels by which a place on the edge may be outside after rounding; float32 is finer below 8192 pixels."""


@dataclasses.dataclass(frozen=True)
class Affine:
    """Takes the place (x, y) of each old image to scale * (x, y) + translation, and mirrors the new image after that.

    Attributes:
        scale: float32 (batch, 2), above 0: across and down.
        translation: float32 (batch, 2), in pixels of the new image: right and down.
        mirror: bool (batch,): x becomes width - x in the new image.
        size: (height, width) of the new images.
        resampled: whether pixels are computed, bilinear with antialias. Otherwise they are copied: the scale is 1 and
            the translation of whole pixels.
    """

    scale: Array
    translation: Array
    mirror: Array
    size: tuple[int, int]
    resampled: bool


@dataclasses.dataclass(frozen=True)
class Border:
    """What becomes of the fields at the border of the new image.

    Every box is cut to the image. By default it stays if anything is left of it, as in the code of CenterNet (Zhou et
    al. 2019, arXiv:1904.07850). `centre_inside` is the rule of SSD (Liu et al. 2015, arXiv:1512.02325).

    Attributes:
        least_share: a box becomes absent if less than this share of its area is left, 0 .. 1. In a chain of changes
            each one counts from what the one before it left.
        centre_inside: whether a box also becomes absent if its centre, before the cut, is outside.
        ignore: the class, in a segmentation, of the pixels that come in from outside.

    Raises:
        ValueError: least_share is outside 0 .. 1.
    """

    least_share: float = 0.0
    centre_inside: bool = False
    ignore: int = annotations.IGNORE

    def __post_init__(self) -> None:
        if not 0 <= self.least_share <= 1:
            raise ValueError(f'least_share: got {self.least_share}; give a share of the area of a box, 0 .. 1')


def make_affine(
    num: int,
    size: tuple[int, int],
    *,
    scale: Array | Sequence[float] = (1.0, 1.0),
    translation: Array | Sequence[float] = (0.0, 0.0),
    mirror: Array | bool = False,
    resampled: bool = False,
) -> Affine:
    """The map of `num` images to `size`; (2,) or a bool stands for all images."""
    pairs = [jnp.asarray(pair, jnp.float32) for pair in (scale, translation)]
    stretch, shift = (jnp.broadcast_to(pair.reshape(-1, 2), (num, 2)) for pair in pairs)
    return Affine(stretch, shift, jnp.broadcast_to(mirror, (num,)), size, resampled)


def move(batch: Batch, affine: Affine, *, border: Border = Border(), reflect: bool = False) -> Batch:
    """The batch with its images, boxes, key points and segmentation moved; all other fields as they are.

    reflect: what comes in from outside is the reflection of the image, without repeating its edge, not zeros. Its
        pixels are new: a segmentation has `border.ignore` there, and what is seen in it has no box.

    Raises:
        ValueError: a field is not of the convention in `fields`, the type of the segmentation cannot hold
            `border.ignore`, or pixels that are resampled shall be reflected.
    """
    _check(batch, border.ignore)
    moved = {**batch, 'image': move_images(batch['image'], affine, reflect=reflect)}
    if 'segmentation' in batch:
        moved['segmentation'] = _pick(batch['segmentation'], affine, outside=border.ignore)
    if 'boxes' in batch:
        moved['boxes'] = move_boxes(batch['boxes'], affine, border)
    if 'keypoints' in batch:
        moved['keypoints'] = move_points(batch['keypoints'], affine)
        if 'visible' in batch:
            moved['visible'] = batch['visible'] & _inside(moved['keypoints'], affine.size)
            moved['keypoints'] = jnp.where(moved['visible'][..., None], _held(moved['keypoints'], affine.size), 0)
    return moved


def move_images(images: Array, affine: Affine, *, reflect: bool = False) -> Array:
    """Images (batch, *affine.size, channels) of the same type; zeros come in from outside, or the reflection.

    Raises:
        ValueError: pixels that are resampled shall be reflected.
    """
    if not affine.resampled:
        return _pick(images, affine, outside=None if reflect else 0)
    if reflect:
        raise ValueError('reflect: got True; only pixels that are copied are reflected, of an affine not resampled')
    new = resample(images, affine.scale[:, ::-1], affine.translation[:, ::-1], affine.size)
    return jnp.where(affine.mirror[:, None, None, None], new[:, :, ::-1], new)


def move_points(points: Array, affine: Affine) -> Array:
    """Places (batch, ..., 2) in the new images, (x, y), also those that are outside."""
    one_each = (len(points), *(1,) * (points.ndim - 2))
    points = points * affine.scale.reshape(*one_each, 2) + affine.translation.reshape(*one_each, 2)
    x, y = points[..., 0], points[..., 1]
    return jnp.stack([jnp.where(affine.mirror.reshape(one_each), affine.size[1] - x, x), y], -1)


def move_boxes(boxes: Array, affine: Affine, border: Border = Border()) -> Array:
    """Boxes (batch, ..., 4) in the new images, cut at their border; (0, 0, 0, 0) for those that are absent."""
    ends = move_points(boxes.reshape(*boxes.shape[:-1], 2, 2), affine)  # (batch, ..., corner, xy)
    # A mirror exchanges left and right.
    across = jnp.where(affine.mirror.reshape(-1, *(1,) * (boxes.ndim - 1)), ends[..., ::-1, 0], ends[..., 0])
    whole = jnp.stack([across[..., 0], ends[..., 0, 1], across[..., 1], ends[..., 1, 1]], -1)
    cut = jnp.concatenate([_held(whole[..., :2], affine.size), _held(whole[..., 2:], affine.size)], -1)
    stays = annotations.present(boxes) & annotations.present(cut)
    stays &= box_area(cut) >= border.least_share * (1 - SLACK) * box_area(whole)
    if border.centre_inside:
        stays &= _inside((whole[..., :2] + whole[..., 2:]) / 2, affine.size)
    return jnp.where(stays[..., None], cut, 0)


def _inside(points: Array, size: tuple[int, int]) -> Array:
    """Which places (..., 2) are in an image of (height, width), its edges too, so that a mirror keeps them."""
    x, y = points[..., 0], points[..., 1]
    return (x >= -SLACK) & (x <= size[1] + SLACK) & (y >= -SLACK) & (y <= size[0] + SLACK)


def _held(points: Array, size: tuple[int, int]) -> Array:
    """Places (..., 2), those outside an image of (height, width) at its border."""
    return jnp.stack([jnp.clip(points[..., 0], 0, size[1]), jnp.clip(points[..., 1], 0, size[0])], -1)


def _pick(images: Array, affine: Affine, *, outside: int | None) -> Array:
    """Copies the pixel of the old image that each pixel's centre comes from; `outside` what is there, None to reflect.

    `images`: (batch, height, width, ...) of any type.
    """
    rows, columns = (_sources(affine, axis) for axis in (1, 0))  # float32 (batch, new height), (batch, new width)
    height, width = images.shape[1:3]

    def one(image: Array, rows: Array, columns: Array) -> Array:
        picked = image[_index(rows, height, outside is None)][:, _index(columns, width, outside is None)]
        if outside is None:
            return picked
        within = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None, :]
        return jnp.where(within.reshape(*within.shape, *(1,) * (image.ndim - 2)), picked, outside)

    return jax.vmap(one)(images, rows, columns)


def _sources(affine: Affine, axis: int) -> Array:
    """The place in the old image, on an axis of (x, y), of the centre of each new pixel: float32 (batch, length)."""
    places = jnp.arange(affine.size[1 - axis], dtype=jnp.float32)[None, :] + 0.5  # (1, length)
    if axis == 0:
        places = jnp.where(affine.mirror[:, None], affine.size[1] - places, places)  # (batch, length)
    return (places - affine.translation[:, axis, None]) / affine.scale[:, axis, None]


def _index(places: Array, length: int, reflect: bool) -> Array:
    """The number of the pixel at each place, of the last one before the border, or of the one that is reflected."""
    numbers = jnp.floor(places).astype(jnp.int32)
    if reflect:
        period = max(2 * (length - 1), 1)
        numbers = numbers % period
        numbers = jnp.minimum(numbers, period - numbers)
    return jnp.clip(numbers, 0, length - 1)


def _check(batch: Batch, ignore: int) -> None:
    """Raises: ValueError if a field has another type or shape than `fields` says, or would be left behind."""
    if 'high_resolution' in batch:
        raise ValueError(
            "high_resolution: it is of another size than 'image'; take a transform of cnn_jax.data.augment_pairs"
        )
    shapes = {'boxes': ('float32', (4,)), 'keypoints': ('float32', (2,)), 'visible': ('bool', ())}
    for name, (dtype, end) in shapes.items():
        array = batch.get(name)
        if array is not None and (array.dtype != dtype or array.shape[array.ndim - len(end) :] != end):
            raise ValueError(f'{name}: got {array.dtype} {array.shape}; give {dtype} {("batch", "...", *end)}')
    if 'keypoints' in batch and 'visible' in batch and batch['visible'].shape != batch['keypoints'].shape[:-1]:
        raise ValueError(f'visible: got {batch["visible"].shape}; the key points need {batch["keypoints"].shape[:-1]}')
    if 'segmentation' in batch:
        classes, shape = batch['segmentation'], batch['image'].shape[:3]
        if classes.shape != shape or not jnp.issubdtype(classes.dtype, jnp.integer):
            raise ValueError(f'segmentation: got {classes.dtype} {classes.shape}; give an integer type and {shape}')
        if not jnp.iinfo(classes.dtype).min <= ignore <= jnp.iinfo(classes.dtype).max:
            raise ValueError(f'ignore: got {ignore}; {classes.dtype} cannot hold it')
