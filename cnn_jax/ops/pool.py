"""Pooling over windows of NHWC images."""

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops import arguments
from cnn_jax.ops.arguments import Padding, Pads, Pair


def max_pool(
    images: jax.Array, *, window: Pair, stride: Pair | None = None, padding: Padding = "valid"
) -> jax.Array:
    """Returns the largest value of each window, channel by channel: (batch, out_height, out_width, channels).

    images: (batch, height, width, channels), floating point; window, stride (the window if None): int or (height, width).
    Padding never wins: it counts as minus infinity. The gradient goes to the first maximum of a window in row order.

    Raises: ValueError for a wrong rank or type, a zero stride, a window larger than the padded input.
    """
    images, window, stride, pads = _read(images, window, stride, padding)
    return lax.reduce_window(
        images, -jnp.inf, lax.max, (1, *window, 1), (1, *stride, 1), ((0, 0), *pads, (0, 0))
    )


def avg_pool(
    images: jax.Array,
    *,
    window: Pair,
    stride: Pair | None = None,
    padding: Padding = "valid",
    count_padding: bool = True,
) -> jax.Array:
    """Returns the mean of each window, channel by channel: (batch, out_height, out_width, channels).

    images, window, stride, padding: as in `max_pool`. Padding counts as zeros, or not at all with count_padding False.

    Raises: ValueError as `max_pool`.
    """
    images, window, stride, pads = _read(images, window, stride, padding)
    shape, strides, padding = (1, *window, 1), (1, *stride, 1), ((0, 0), *pads, (0, 0))
    sums = lax.reduce_window(images, 0.0, lax.add, shape, strides, padding)
    if count_padding:
        return sums / (window[0] * window[1])
    ones = jnp.ones((1, *images.shape[1:3], 1), images.dtype)
    return sums / lax.reduce_window(ones, 0.0, lax.add, shape, strides, padding)


def _read(
    images: jax.Array, window: Pair, stride: Pair | None, padding: Padding
) -> tuple[jax.Array, tuple[int, int], tuple[int, int], Pads]:
    images = arguments.check_images("images", images)
    sizes = (images.shape[1], images.shape[2])
    window = arguments.read_pair("window", window)
    stride = window if stride is None else arguments.read_pair("stride", stride)
    pads = arguments.read_padding(padding, sizes, window, stride)
    arguments.check_fits(sizes, window, pads)
    return images, window, stride, pads
