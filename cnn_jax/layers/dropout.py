"""Dropout."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Dropout(nn.Module):
    """Zeroes each value with probability `rate` in training and divides the rest by 1 - rate; else does nothing.

    Takes any array. Randomness is the stream `dropout`: `model.apply(..., rngs={'dropout': key})`.

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
        keep = jax.random.bernoulli(self.make_rng('dropout'), 1 - self.rate, inputs.shape)
        return jnp.where(keep, inputs / (1 - self.rate), 0)
