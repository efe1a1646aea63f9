"""Pure functions on arrays: convolutions, pools, normalisation, filters and the arithmetic of windows."""

from cnn_jax.ops.conv import conv2d
from cnn_jax.ops.geometry import output_size
from cnn_jax.ops.implementation import implementation
from cnn_jax.ops.pool import adaptive_avg_pool, avg_pool, global_avg_pool, l2_pool, max_pool

__all__ = [
    'adaptive_avg_pool',
    'avg_pool',
    'conv2d',
    'global_avg_pool',
    'implementation',
    'l2_pool',
    'max_pool',
    'output_size',
]
