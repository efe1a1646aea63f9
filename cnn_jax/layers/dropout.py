"""Dropout."""

import contextlib
import contextvars
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.devices.mapping import AXIS

_place: contextvars.ContextVar[jax.Array | None] = contextvars.ContextVar('place', default=None)


@contextlib.contextmanager
def place_of_first(place: jax.Array) -> Iterator[None]:
    """Says, while a model is traced, at which place of the global batch its first image stands.

    For steps that show the model a part of a device's images at a time; else it follows from the device.
    """
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


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
            first = _place.get()
            first = lax.axis_index(AXIS) * len(inputs) if first is None else first
            rows = first + jnp.arange(len(inputs))  # of the global batch
            keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(self.make_rng('per_image'), rows)
            keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, inputs.shape[1:]))(keys)
        else:
            keep = jax.random.bernoulli(self.make_rng('dropout'), 1 - self.rate, inputs.shape)
        return jnp.where(keep, inputs / (1 - self.rate), 0)
