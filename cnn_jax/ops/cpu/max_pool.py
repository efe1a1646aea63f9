"""Max-pooling on a CPU: sums and comparisons in float32, because 16-bit ones are a hundred times slower there."""

import jax
from jax import lax

from cnn_jax.ops import maxima
from cnn_jax.ops.arguments import Pads
from cnn_jax.ops.implementation import accumulator
from cnn_jax.ops.maxima import Sizes

HOLD = lax.optimization_barrier


def max_pool(images: jax.Array, *, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    """Returns the largest element of every window."""
    wide = images.astype(accumulator(images.dtype))
    return maxima.largest(wide, window=window, stride=stride, pads=pads, hold=HOLD).astype(images.dtype)


def images_gradient(images: jax.Array, gradient: jax.Array, *, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    """Returns the gradient with respect to the images, whose maxima are looked for again: no place is stored."""
    wide = accumulator(images.dtype)
    _, place = maxima.first_largest(images.astype(wide), window=window, stride=stride, pads=pads, hold=HOLD)
    shapes = {'images': images.shape, 'window': window, 'stride': stride, 'pads': pads}
    return maxima.by_remainder(HOLD(place), gradient.astype(wide), **shapes, hold=HOLD).astype(images.dtype)
