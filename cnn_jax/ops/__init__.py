"""Pure functions on arrays: convolutions, pools, normalisation, filters and the arithmetic of windows."""

from cnn_jax.ops.conv import conv2d
from cnn_jax.ops.geometry import output_size
from cnn_jax.ops.pool import avg_pool, max_pool

__all__ = ["avg_pool", "conv2d", "max_pool", "output_size"]
