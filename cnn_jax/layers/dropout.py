"""Dropout."""

import contextlib
import contextvars
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.devices.mapping import AXIS
from cnn_jax.streams import numbered

_places: contextvars.ContextVar[jax.Array | None] = contextvars.ContextVar('places', default=None)


@contextlib.contextmanager
def places_in_batch(places: jax.Array) -> Iterator[None]:
    """Says, while a model is traced, at which places of the global batch its images stand, int32 (images,).

    For steps that show the model a part of a device's images at a time; else they follow from the device.
    """
    token = _places.set(places)
    try:
        yield
    finally:
        _places.reset(token)


class Dropout(nn.Module):
    """Zeroes each value with probability `rate` in training and divides the rest by 1 - rate; else does nothing.

    Takes any array whose first axis is the batch. Randomness is the stream `per_image`, the same on every device, from
    which each image draws by its place in the global batch: so the number of devices changes nothing. Where that stream
    is not given it is `dropout`, as in Flax: `model.apply(..., rngs={'dropout': key})`.

    Raises:
        ValueError: if the rate is not in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        if not 0 <= self.rate < 1:
            raise ValueError(f'{self.name or "Dropout"}: rate={self.rate} given; it is at least 0 and below 1')
        if not train or self.rate == 0:
            return inputs
        if self.has_rng('per_image'):
            places = _places.get()
            if places is None:
                places = lax.axis_index(AXIS) * len(inputs) + jnp.arange(len(inputs))
            keys = numbered(self.make_rng('per_image'), places)
            keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, inputs.shape[1:]))(keys)
        else:
            keep = jax.random.bernoulli(self.make_rng('dropout'), 1 - self.rate, inputs.shape)
        return jnp.where(keep, inputs / (1 - self.rate), 0)
