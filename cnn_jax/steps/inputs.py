"""What the model is shown of a batch, and the randomness of a step."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from cnn_jax.devices.mapping import AXIS

Transform = Callable[[jax.Array, jax.Array], jax.Array]  # (keys, images) -> images
Mix = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]  # (keys, images, labels) -> (, targets)


def image_keys(rng: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """A key for each image, (batch,), from (seed, epoch, index) alone: the same on any number of devices."""

    def key(epoch, index):
        return jax.random.fold_in(jax.random.fold_in(rng, epoch), index)

    return jax.vmap(key)(batch['epoch'], batch['index'])


class Inputs(NamedTuple):
    """What the model sees of a batch.

    Attributes:
        images: (batch, height, width, channels), preprocessed.
        targets: what the loss compares with: int32 (batch,) labels, or (batch, classes) soft targets.
        labels: int32 (batch,), for the accuracy.
    """

    images: jax.Array
    targets: jax.Array
    labels: jax.Array


def training_inputs(
    batch: dict[str, jax.Array],
    rng: jax.Array,
    *,
    preprocess: Transform,
    augment: Transform | None = None,
    mix: Mix | None = None,
) -> Inputs:
    """What the model is shown of a training batch, and what the loss compares with; `rng` is the state's."""
    keys = image_keys(rng, batch)
    images = augment(keys, batch['image']) if augment else batch['image']
    images, targets = preprocess(keys, images), batch['label']
    if mix:
        images, targets = mix(jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys), images, targets)
    return Inputs(images, targets, batch['label'])


def training_rngs(rng: jax.Array, step: jax.Array) -> dict[str, jax.Array]:
    """The random streams of a model in a training step: `per_image` the same on all devices, `dropout` of this one."""
    step_key = jax.random.fold_in(rng, step)
    return {'per_image': step_key, 'dropout': jax.random.fold_in(step_key, jax.lax.axis_index(AXIS))}
