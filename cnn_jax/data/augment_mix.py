"""Mixing of images and their labels on the device: `(keys, images, labels) -> (images, targets)`, pure.

Each image is mixed with the next one of the batch, by an amount of its own key. `labels` int32 (batch,) become
`targets` float32 (batch, num_classes), rows that add up to 1. With `axis_name` (that of the devices of a step) the next
one of the last image is on the next device: the same result whatever the number of devices. `distance` is how far on
the other image is: at least `Data.repeats`, whose copies of an image stand side by side. torchvision and timm draw one
amount for the whole batch; here each image has its own.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.data.augment import BatchTransform, in_box, to_dtype
from cnn_jax.streams import stream

Mix = Callable[[Array, Array, Array], tuple[Array, Array]]
"""(keys, images, labels) -> (images, shares)"""


def on_classes(mix: Mix) -> BatchTransform:
    """A mixing of images and labels as a change of a whole batch, which gets 'shares' (batch, classes)."""

    def mixed(keys: Array, batch: dict[str, Array]) -> dict[str, Array]:
        images, shares = mix(keys, batch['image'], batch['label'])
        return {**batch, 'image': images, 'shares': shares}

    return mixed


def mixup(
    keys: Array,
    images: Array,
    labels: Array,
    *,
    num_classes: int,
    alpha: float = 0.2,
    distance: int = 1,
    axis_name: str | None = None,
) -> tuple[Array, Array]:
    """A weighted mean of two images, weights from Beta(alpha, alpha): Zhang et al. 2017, arXiv:1710.09412."""
    weight = jax.vmap(lambda key: symmetric_beta(key, alpha))(stream(keys, 'mix/mixup'))  # (batch,)
    other = next_of_batch(images, distance, axis_name).astype(jnp.float32)
    own = weight[:, None, None, None]
    mixed = to_dtype(own * images.astype(jnp.float32) + (1 - own) * other, images.dtype)
    return mixed, _targets(labels, weight, num_classes, distance, axis_name)


def cutmix(
    keys: Array,
    images: Array,
    labels: Array,
    *,
    num_classes: int,
    alpha: float = 1.0,
    distance: int = 1,
    axis_name: str | None = None,
) -> tuple[Array, Array]:
    """A box of the next image put into each, labels by the areas: Yun et al. 2019, arXiv:1905.04899.

    The share of the box is from Beta(alpha, alpha), its centre anywhere; what is outside the image is cut off and does
    not count.
    """
    height, width = images.shape[1:3]

    def box(key: Array) -> Array:
        shares, places = (stream(key, f'mix/cutmix/{name}') for name in ('share', 'place'))
        side = jnp.sqrt(1 - symmetric_beta(shares, alpha))
        half = jnp.floor(side * jnp.array([height, width]) / 2)
        centre = jax.random.randint(places, (2,), 0, jnp.array([height, width]))
        return in_box(height, width, centre - half, centre + half)

    inside = jax.vmap(box)(keys)  # (batch, height, width)
    mixed = jnp.where(inside[..., None], next_of_batch(images, distance, axis_name), images)
    weight = 1 - jnp.mean(inside, (1, 2), dtype=jnp.float32)
    return mixed, _targets(labels, weight, num_classes, distance, axis_name)


def mixup_or_cutmix(
    keys: Array,
    images: Array,
    labels: Array,
    *,
    num_classes: int,
    mixup_alpha: float = 0.2,
    cutmix_alpha: float = 1.0,
    cutmix_share: float = 0.5,
    distance: int = 1,
    axis_name: str | None = None,
) -> tuple[Array, Array]:
    """CutMix for some images, mixup for the others, drawn for each."""
    own = stream(keys, 'mix/mixup_or_cutmix')
    chosen = jax.vmap(lambda key: jax.random.bernoulli(key, cutmix_share))(own)
    options = {'num_classes': num_classes, 'distance': distance, 'axis_name': axis_name}
    cut, cut_targets = cutmix(keys, images, labels, alpha=cutmix_alpha, **options)
    blended, targets = mixup(keys, images, labels, alpha=mixup_alpha, **options)
    return jnp.where(chosen[:, None, None, None], cut, blended), jnp.where(chosen[:, None], cut_targets, targets)


def symmetric_beta(key: Array, alpha: float) -> Array:
    """A share from Beta(alpha, alpha)."""
    return jax.random.uniform(key) if alpha == 1.0 else jax.random.beta(key, alpha, alpha)


def next_of_batch(array: Array, distance: int = 1, axis_name: str | None = None) -> Array:
    """Row i + distance at place i, the first after the last; over all devices of the axis, if one is named.

    Raises:
        ValueError: there are not so many images on a device.
    """
    if distance > len(array):
        raise ValueError(f'batch_size: {len(array)} images on a device; at least {distance} are needed to mix them')
    if axis_name is None:
        return jnp.roll(array, -distance, axis=0)
    size = jax.lax.axis_size(axis_name)
    first = jax.lax.ppermute(array[:distance], axis_name, [(device, (device - 1) % size) for device in range(size)])
    return jnp.concatenate([array[distance:], first])


def _targets(labels: Array, weight: Array, num_classes: int, distance: int, axis_name: str | None) -> Array:
    own = jax.nn.one_hot(labels, num_classes)
    return weight[:, None] * own + (1 - weight[:, None]) * next_of_batch(own, distance, axis_name)
