"""Normalisation of an image by itself: across neighbouring channels, and by the contrast around each pixel."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops import arguments
from cnn_jax.ops.conv import conv2d
from cnn_jax.ops.filters import gaussian
from cnn_jax.ops.finite import any_row
from cnn_jax.ops.implementation import accumulator, is_plain
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
    scale = alpha if convention == 'paper' else alpha / size
    wide = images.astype(accumulator(images.dtype))
    constants = _Response(size, k, scale, beta)
    if is_plain():  # no choice by the whole batch: the form for large numbers is right for all
        return _normalised(constants, wide, is_large=True).astype(images.dtype)
    normalised: jax.Array = _by_size(constants, wide)  # pyright: ignore[reportAssignmentType]
    return normalised.astype(images.dtype)


class _Response(NamedTuple):
    """The constants of a local response normalisation; `scale` is that of the sum."""

    size: int
    k: float
    scale: float
    beta: float


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _by_size(constants: _Response, images: jax.Array) -> jax.Array:
    """Returns the normalised images; where a square may overflow, in the form for large numbers."""
    small = _normalised(constants, images, is_large=False)
    large = functools.partial(_normalised, constants, is_large=True)

    def apart(images: jax.Array, small: jax.Array) -> jax.Array:
        del small
        # Else an exported program computes the slices of both forms once, before the choice: four times slower.
        return large(lax.optimization_barrier(images))

    return lax.cond(_is_large(images), apart, lambda images, small: small, images, small)


def _is_large(images: jax.Array) -> jax.Array:
    largest = jnp.max(jnp.max(jnp.abs(images), (0, 1, 2), initial=0))  # not at once: see `all_finite`
    return any_row(shrink(largest) < 1)


def _by_size_forward(constants: _Response, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _by_size(constants, images), images


def _by_size_backward(constants: _Response, images: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    def pull(is_large: bool, images: jax.Array, gradient: jax.Array) -> jax.Array:
        return jax.vjp(functools.partial(_normalised, constants, is_large=is_large), images)[1](gradient)[0]

    small = pull(False, images, gradient)

    def large(images: jax.Array, gradient: jax.Array, small: jax.Array) -> jax.Array:
        del small
        return pull(True, images, gradient)

    return (lax.cond(_is_large(images), large, lambda images, gradient, small: small, images, gradient, small),)


_by_size.defvjp(_by_size_forward, _by_size_backward)


def _normalised(constants: _Response, images: jax.Array, *, is_large: bool) -> jax.Array:
    """Returns images / (k + scale * sum of squares) ** beta; is_large: the squares may overflow."""
    size, k, scale, beta = constants
    padded = jnp.pad(images, ((0, 0), (0, 0), (0, 0), (size // 2, size // 2)))
    near = [lax.slice_in_dim(padded, i, i + images.shape[3], axis=3) for i in range(size)]  # no gather: see `sliced`
    if is_large:
        factor = shrink(functools.reduce(jnp.maximum, map(jnp.abs, near)))
        images, near, k = images * factor ** (2 * beta), [factor * other for other in near], k * jnp.square(factor)
    total = k + scale * sum((jnp.square(other) for other in near[1:]), jnp.square(near[0]))
    if beta == 0.75:  # two roots instead of a logarithm and an exponential
        inverse = lax.rsqrt(total)
        return images * (inverse * jnp.sqrt(inverse))
    return images * total**-beta


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
