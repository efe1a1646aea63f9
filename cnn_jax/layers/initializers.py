"""Random first values of kernels, as `jax.nn.initializers` has them, drawn as a matrix.

The numbers are the same; but XLA's CPU compiler takes five to ten times as long over a sampler of four dimensions
(5.4 s against 0.5 s for a 3x3x8x12 kernel, jax 0.10.2), and a net has one for each shape of its kernels.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from cnn_jax.layers.variables import Initializer

Mode = Literal['fan_in', 'fan_out', 'fan_avg']
Distribution = Literal['truncated_normal', 'normal', 'uniform']


def variance_scaling(scale: float, mode: Mode, distribution: Distribution) -> Initializer:
    """Mean 0 and variance scale / fan, for kernels (..., in, out); see `jax.nn.initializers.variance_scaling`."""

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        *window, inputs, outputs = shape
        fan_in, fan_out = math.prod(window) * inputs, math.prod(window) * outputs
        fan = {'fan_in': fan_in, 'fan_out': fan_out, 'fan_avg': (fan_in + fan_out) / 2}[mode]
        of_matrix = jax.nn.initializers.variance_scaling(scale * fan_in / fan, 'fan_in', distribution)
        return of_matrix(key, (fan_in, outputs), dtype).reshape(shape)

    return initialize


def normal(deviation: float) -> Initializer:
    """Mean 0 and a standard deviation, whatever the shape."""

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.nn.initializers.normal(deviation)(key, (math.prod(shape[:-1]), shape[-1]), dtype).reshape(shape)

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
