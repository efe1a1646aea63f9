"""What the model is shown of a batch, and the randomness of a step."""

from typing import Any

import jax

from cnn_jax.data.augment import Batch, BatchTransform
from cnn_jax.devices.mapping import AXIS
from cnn_jax.streams import numbered, settled, stream


def image_keys(rng: jax.Array, batch: Batch) -> jax.Array:
    """A key for each image, (batch,), from (seed, epoch, index) alone: the same on any number of devices."""
    return settled(numbered(numbered(stream(rng, 'images'), batch['epoch']), batch['index']))


def training_inputs(
    batch: Batch,
    rng: jax.Array,
    *,
    preprocess: BatchTransform,
    augment: BatchTransform | None = None,
    mix: BatchTransform | None = None,
) -> Batch:
    """A training batch as model and loss are shown it; `rng` is the state's."""
    keys = image_keys(rng, batch)
    if augment:
        batch = applied('augment', augment, keys, batch)
    batch = applied('preprocess', preprocess, keys, batch)
    return applied('mix', mix, keys, batch) if mix else batch


def evaluation_inputs(batch: Batch, *, preprocess: BatchTransform) -> Batch:
    """A batch as model and loss are shown it in evaluation: preprocessed, without chance."""
    return applied('preprocess', preprocess, image_keys(jax.random.key(0), batch), batch)


def applied(name: str, transform: BatchTransform, keys: jax.Array, batch: Batch) -> Batch:
    """What a transform makes of a batch, with the stream of that name of the keys of the images.

    Raises:
        ValueError: it does not take a batch, or gives none.
    """
    lift = f'{name}: it takes (keys, batch) and gives the batch; augment.on_images lifts a function of images alone'
    try:
        changed: Any = transform(stream(keys, name), batch)
    except (AttributeError, TypeError) as error:
        raise ValueError(f'{lift} ({error})') from error
    if not isinstance(changed, dict) or 'image' not in changed:
        raise ValueError(f'{lift} (it gave {type(changed).__name__})')
    return changed


def training_rngs(rng: jax.Array, step: jax.Array) -> dict[str, jax.Array]:
    """The random streams of a model in a training step: `per_image` the same on all devices, `dropout` of this one."""
    own = numbered(stream(rng, 'model'), step)
    of_device = numbered(stream(own, 'model/dropout'), jax.lax.axis_index(AXIS))
    return {'per_image': settled(stream(own, 'model/per_image')), 'dropout': settled(of_device)}
