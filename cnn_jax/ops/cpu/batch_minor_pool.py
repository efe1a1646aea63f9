"""Pools over 2x2 windows of few channels, in the order of `cnn_jax.ops.cpu.batch_minor`, whose neighbours they are.

Between two convolutions of that order a pool in another costs two transposes, forward and backward.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnn_jax.ops.arguments import Pads
from cnn_jax.ops.cpu.batch_minor import FEW, MOST_PIXELS, NONE, to_batch_last, to_nhwc
from cnn_jax.ops.maxima import Sizes
from cnn_jax.ops.windows import Shape, zero


def pays(images: Shape, window: Sizes, stride: Sizes, pads: Pads) -> bool:
    """Returns whether these forms take these arguments, and what stands beside them is likely in this order.

    After 8 to 16 filters the next layer may have any order, and beside NHWC the gradient of a max-pool takes twice the
    time of `cnn_jax.ops.cpu.max_pool`: 4 and 10 % of a step in two nets of 3x3 kernels with six channels.
    """
    return (
        window == stride == (2, 2)
        and pads == ((0, 0), (0, 0))
        and images[3] <= FEW
        and images[1] * images[2] <= MOST_PIXELS
    )


def max_pool(images: jax.Array) -> jax.Array:
    """Returns the largest element of every window."""
    a, b, c, d = _quarters(images)
    return to_nhwc(jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d)))


def max_pool_gradient(images: jax.Array, gradient: jax.Array) -> jax.Array:
    """Returns the gradient of `max_pool` with respect to the images: all to the first maximum of a window."""
    best, *others = _quarters(images)
    larger = []
    for other in others:
        larger.append(~(best >= other))  # and not other > best: a NaN is no maximum for long, see `ops.max_pool`
        best = jnp.where(larger[-1], other, best)
    rest, parts = to_batch_last(gradient), []
    nothing = jnp.zeros_like(rest)
    for mine in reversed(larger):  # the last that was chosen over the one before it is the first maximum
        parts.append(jnp.where(mine, rest, nothing))
        rest = jnp.where(mine, nothing, rest)
    return _put_back([rest, *reversed(parts)], images.shape)


def window_sums(images: jax.Array) -> jax.Array:
    """Returns the sum of every window."""
    images = lax.optimization_barrier(to_batch_last(images))
    sums = lax.reduce_window(images, np.zeros((), images.dtype), lax.add, (2, 1, 2, 1), (2, 1, 2, 1), 'VALID')
    return to_nhwc(sums)


def _quarters(images: jax.Array) -> list[jax.Array]:
    """Returns elements (0, 0), (0, 1), (1, 0) and (1, 1) of every window, (height / 2, channels, width / 2, batch)."""
    images = lax.optimization_barrier(to_batch_last(images))  # else what made them is computed once per element
    height, channels, width, batch = images.shape
    whole = images[: height // 2 * 2, :, : width // 2 * 2]
    whole = whole.reshape(height // 2, 2, channels, width // 2, 2, batch)
    return [whole[:, i, :, :, j] for i in (0, 1) for j in (0, 1)]


def _put_back(quarters: list[jax.Array], images: Shape) -> jax.Array:
    """Returns images of this shape, zero where an odd row or column is in no window: the transpose of `_quarters`."""
    _, height, width, channels = images
    a, b, c, d = quarters
    whole = jnp.stack([jnp.stack([a, b], 3), jnp.stack([c, d], 3)], 1)
    whole = whole.reshape(height // 2 * 2, channels, width // 2 * 2, -1)
    return to_nhwc(lax.pad(whole, zero(whole), ((0, height % 2, 0), NONE, (0, width % 2, 0), NONE)))
