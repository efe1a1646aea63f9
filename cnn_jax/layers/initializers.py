"""Random first values of kernels, as `jax.nn.initializers` has them, from a few samplers that all shapes share.

The numbers are the same to the last bits. But XLA's CPU compiler takes 5.4 s over a sampler of a 3x3x8x12 kernel (jax
0.10.2), 0.25 s over one of as many numbers in a row, and a net has one for each shape of its kernels. JAX's numbers do
not depend on how many are drawn; so numbers are drawn in a row whose length is a power of two, by a function of its
own that `initialize` compiles once, and a kernel is the beginning of that row.
"""

import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from cnn_jax.layers.variables import Initializer

Mode = Literal['fan_in', 'fan_out', 'fan_avg']
Distribution = Literal['truncated_normal', 'normal', 'uniform']

MOST_ROUNDED = 1 << 22  # longer rows are as long as they must be
TRUNCATED_DEVIATION = 0.87962566103423978  # of a standard normal cut off at -2 and 2


@functools.partial(jax.jit, static_argnames=('count', 'distribution', 'dtype'))
def draw_numbers(key: jax.Array, count: int, distribution: Distribution, dtype: Any) -> jax.Array:
    """Numbers of mean 0 and variance 1, (count,)."""
    if distribution == 'truncated_normal':
        return jax.random.truncated_normal(key, -2, 2, (count,), dtype) / jnp.array(TRUNCATED_DEVIATION, dtype)
    if distribution == 'normal':
        return jax.random.normal(key, (count,), dtype)
    return jax.random.uniform(key, (count,), dtype, -1) * jnp.sqrt(jnp.array(3, dtype))


DRAW = 'draw_numbers'  # how `initialize` knows the function in a traced program


def variance_scaling(scale: float, mode: Mode, distribution: Distribution) -> Initializer:
    """Mean 0 and variance scale / fan, for kernels (..., in, out); see `jax.nn.initializers.variance_scaling`."""

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        *window, inputs, outputs = shape
        fan_in, fan_out = math.prod(window) * inputs, math.prod(window) * outputs
        fan = {'fan_in': fan_in, 'fan_out': fan_out, 'fan_avg': (fan_in + fan_out) / 2}[mode]
        return _draw(key, shape, distribution, math.sqrt(scale / fan), dtype)

    return initialize


def normal(deviation: float) -> Initializer:
    """Mean 0 and a standard deviation, whatever the shape."""

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return _draw(key, shape, 'normal', deviation, dtype)

    return initialize


def lecun_normal() -> Initializer:
    """Variance 1 / fan in: Flax's default."""
    return variance_scaling(1.0, 'fan_in', 'truncated_normal')


def he_normal() -> Initializer:
    """Variance 2 / fan in, for ReLUs: He et al. 2015, arXiv:1502.01852."""
    return variance_scaling(2.0, 'fan_in', 'truncated_normal')


def glorot_uniform() -> Initializer:
    """Variance 2 / (fan in + fan out): Glorot and Bengio 2010."""
    return variance_scaling(1.0, 'fan_avg', 'uniform')


def _draw(
    key: jax.Array, shape: tuple[int, ...], distribution: Distribution, deviation: float, dtype: Any
) -> jax.Array:
    size = math.prod(shape)
    count = 1 << (size - 1).bit_length() if 0 < size <= MOST_ROUNDED else size
    return draw_numbers(key, count, distribution, dtype)[:size].reshape(shape) * jnp.array(deviation, dtype)
