"""Max-pooling on a GPU: the forward pass stores the place of each maximum, a byte, and the gradient reads no image.

On an H100 in bfloat16, forward and backward, XLA's form and this one: 3x3/2 on 256x112x112x64 2.9 and 0.8 ms, 2x2/2 on
128x224x224x64 3.6 and 1.0, 3x3/1 on 256x28x28x192 2.7 and 0.4.
"""

import jax

from cnn_jax.ops import maxima
from cnn_jax.ops.arguments import Pads
from cnn_jax.ops.maxima import Sizes
from cnn_jax.ops.windows import Shape


def _together(arrays: jax.Array) -> jax.Array:
    return arrays


def max_pool(images: jax.Array, *, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    """Returns the largest element of every window."""
    return maxima.largest(images, window=window, stride=stride, pads=pads, hold=_together)


def max_pool_with_place(images: jax.Array, *, window: Sizes, stride: Sizes, pads: Pads) -> tuple[jax.Array, jax.Array]:
    """Returns the largest element of every window, and its place."""
    return maxima.first_largest(images, window=window, stride=stride, pads=pads, hold=_together)


def images_gradient(
    place: jax.Array, gradient: jax.Array, *, images: Shape, window: Sizes, stride: Sizes, pads: Pads
) -> jax.Array:
    """Returns the gradient with respect to images of this shape."""
    shapes = {'images': images, 'window': window, 'stride': stride, 'pads': pads}
    if stride in ((1, 1), window):  # no remainders to tell apart, or one window for each pixel
        return maxima.by_pixel(place, gradient, **shapes).astype(gradient.dtype)
    return maxima.by_remainder(place, gradient, **shapes, hold=_together).astype(gradient.dtype)
