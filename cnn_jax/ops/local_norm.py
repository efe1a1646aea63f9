"""Normalisation of an image by itself: across neighbouring channels, and by the contrast around each pixel."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops import arguments
from cnn_jax.ops.conv import conv2d
from cnn_jax.ops.filters import gaussian
from cnn_jax.ops.implementation import accumulator
from cnn_jax.ops.lengths import root, shrink


def local_response_norm(
    images: jax.Array,
    *,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    convention: str = 'paper',
) -> jax.Array:
    """Returns images / (k + a * sum of squares over `size` neighbouring channels) ** beta.

    images: (batch, height, width, channels), floating point. size: odd; channels outside count as zero.
    convention: 'paper' has a = alpha (Krizhevsky et al. 2012, section 3.3; its constants are the defaults); 'caffe' has
    a = alpha / size, which is torch's too. Both of those take k = 1 by default, and TensorFlow's depth_radius is
    (size - 1) / 2 in the paper's convention.

    Raises: ValueError for an even size, k <= 0 or another convention.
    """
    images = arguments.check_images('images', images)
    if size < 1 or size % 2 == 0:
        raise ValueError(f'size is {size}; it must be odd and at least 1')
    if k <= 0:
        raise ValueError(f'k is {k}; it must be above 0')
    if convention not in ('paper', 'caffe'):
        raise ValueError(f"convention is {convention!r}; give 'paper' or 'caffe'")
    wide = images.astype(accumulator(images.dtype))
    padded = jnp.pad(wide, ((0, 0), (0, 0), (0, 0), (size // 2, size // 2)))
    near = [padded[..., i : i + images.shape[3]] for i in range(size)]
    factor = shrink(functools.reduce(jnp.maximum, map(jnp.abs, near)))
    sums = sum((jnp.square(factor * other) for other in near[1:]), jnp.square(factor * near[0]))
    total = k * jnp.square(factor) + (alpha if convention == 'paper' else alpha / size) * sums
    if beta == 0.75:  # two roots instead of a logarithm and an exponential
        inverse = lax.rsqrt(total)
        return (wide * (factor * jnp.sqrt(factor)) * (inverse * jnp.sqrt(inverse))).astype(images.dtype)
    return (wide * factor ** (2 * beta) * total**-beta).astype(images.dtype)


def local_contrast_norm(
    images: jax.Array, *, window: int = 9, sigma: float | None = None, epsilon: float = 1e-4
) -> jax.Array:
    """Returns images less their local mean, divided by their local deviation where that is above its average.

    images: (batch, height, width, channels), floating point. window: odd side of the Gaussian, `sigma` its width in
    pixels (window / 4 if None). Mean and deviation are over all channels. The divisor is max(deviation, its mean over
    the image, epsilon).

    Raises: ValueError for an even window. Source: Jarrett et al. 2009, section 3.1, to which epsilon is added, so that
    an image without contrast gives zeros and not rounding errors made large; at the edges, where the paper says
    nothing, the weights inside the image are scaled to sum to one.
    """
    images = arguments.check_images('images', images)
    wide = images.astype(accumulator(images.dtype))
    wide = wide * shrink(jnp.max(jnp.abs(wide), (1, 2, 3), keepdims=True))  # the quotient below has no scale
    weights = jnp.asarray(gaussian(window, sigma=window / 4 if sigma is None else sigma), wide.dtype)
    coverage = _blur(jnp.ones((1, *images.shape[1:3], 1), wide.dtype), weights)
    centred = wide - _blur(jnp.mean(wide, 3, keepdims=True), weights) / coverage
    deviation = root(_blur(jnp.mean(jnp.square(centred), 3, keepdims=True), weights) / coverage)
    least = jnp.maximum(jnp.mean(deviation, (1, 2), keepdims=True), epsilon)
    return (centred / jnp.maximum(deviation, least)).astype(images.dtype)


def _blur(maps: jax.Array, weights: jax.Array) -> jax.Array:
    return conv2d(maps, weights[:, :, None, None], padding='same')
