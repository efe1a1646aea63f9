"""Normalisation: batch norm in training and evaluation, its folding into a convolution, and the local ones."""

import functools
from collections.abc import Hashable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops import arguments
from cnn_jax.ops.conv import conv2d
from cnn_jax.ops.filters import gaussian
from cnn_jax.ops.implementation import accumulator, is_plain, same_axes

AxisName = Hashable | tuple[Hashable, ...] | None


class Statistics(NamedTuple):
    """Mean and biased variance of each channel, (channels,), float32 or wider."""

    mean: jax.Array
    variance: jax.Array


def batch_norm(
    images: jax.Array,
    scale: jax.Array,
    offset: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    *,
    epsilon: float = 1e-5,
) -> jax.Array:
    """Returns (images - mean) / sqrt(variance + epsilon) * scale + offset with given statistics, as in evaluation.

    images: (batch, height, width, channels), or (batch, channels) after a dense layer; the others: (channels,).

    Raises: ValueError unless the four vectors have one number per channel.
    """
    _check_vectors(images, scale=scale, offset=offset, mean=mean, variance=variance)
    factor = scale * lax.rsqrt(variance + epsilon)
    return _affine(images, factor, offset - mean * factor)


def batch_norm_training(
    images: jax.Array,
    scale: jax.Array,
    offset: jax.Array,
    *,
    epsilon: float = 1e-5,
    axis_name: AxisName = None,
    num_ghosts: int = 1,
) -> tuple[jax.Array, Statistics]:
    """Returns the images normalised by their own statistics, then those statistics.

    images: (batch, height, width, channels) or (batch, channels); scale, offset: (channels,).
    axis_name: the statistics are those of all devices along this mapped axis (global batch norm); None: of this device.
    num_ghosts: the batch is cut into this many parts, each normalised by itself (Hoffer et al. 2017, arXiv:1705.08741);
    the statistics returned are then the means over the parts.

    The statistics carry no gradient: they are for the running averages (`running_statistics`). The gradient is written
    by hand and reads the images twice, autodiff's about four times. Variance is E[x^2] - E[x]^2, as in Flax.

    Raises: ValueError for vectors that do not match, or parts that do not divide the batch.
    Source: Ioffe and Szegedy 2015, arXiv:1502.03167.
    """
    _check_vectors(images, scale=scale, offset=offset)
    if num_ghosts < 1 or images.shape[0] % num_ghosts:
        raise ValueError(f'num_ghosts is {num_ghosts}; it must divide the batch of {images.shape[0]}')
    normalise = _plain_batch_norm if is_plain() else _cached_batch_norm
    images, scale, offset = same_axes(images, scale, offset)
    normalise = functools.partial(normalise, epsilon, axis_name)
    if num_ghosts == 1:
        outputs, statistics = normalise(images, scale, offset)
        return outputs, Statistics(*map(lax.stop_gradient, statistics))
    parts = images.reshape(num_ghosts, -1, *images.shape[1:])
    outputs, statistics = jax.vmap(normalise, (0, None, None))(parts, scale, offset)
    means = [lax.stop_gradient(jnp.mean(s, 0)) for s in statistics]
    return outputs.reshape(images.shape), Statistics(*means)


def running_statistics(
    running: Statistics, batch: Statistics, *, momentum: float = 0.9, num_values: int, unbiased: bool = False
) -> Statistics:
    """Returns momentum * running + (1 - momentum) * batch.

    momentum: the part that is kept (0.9 here is torch's 0.1). num_values: how many values each batch statistic is of,
    batch * height * width over all devices.
    unbiased: torch's convention, variance times n / (n - 1); False is Flax's.

    Raises: ValueError for a momentum outside [0, 1], or unbiased with fewer than 2 values.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f'momentum is {momentum}; it must lie in [0, 1]')
    variance = batch.variance
    if unbiased:
        if num_values < 2:
            raise ValueError(f'num_values is {num_values}; an unbiased variance needs at least 2')
        variance = variance * (num_values / (num_values - 1))
    return Statistics(
        momentum * running.mean + (1 - momentum) * batch.mean,
        momentum * running.variance + (1 - momentum) * variance,
    )


def fold_batch_norm(
    kernel: jax.Array,
    bias: jax.Array | None,
    scale: jax.Array,
    offset: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    *,
    epsilon: float = 1e-5,
) -> tuple[jax.Array, jax.Array]:
    """Returns (kernel, bias) of the one convolution that equals a convolution and then `batch_norm`.

    kernel: (height, width, in, out), or (in, out) of a dense layer; bias: (out,) or None; the others: (out,).

    Raises: ValueError unless the vectors have one number per output channel.
    """
    _check_vectors(kernel, scale=scale, offset=offset, mean=mean, variance=variance)
    factor = scale * lax.rsqrt(variance + epsilon)
    shift = -mean if bias is None else bias - mean
    return kernel * factor.reshape((1,) * (kernel.ndim - 1) + (-1,)), offset + shift * factor


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
    squares = jnp.square(images.astype(accumulator(images.dtype)))
    padded = jnp.pad(squares, ((0, 0), (0, 0), (0, 0), (size // 2, size // 2)))
    channels = images.shape[3]
    sums = sum((padded[..., i : i + channels] for i in range(1, size)), padded[..., :channels])
    total = k + (alpha if convention == 'paper' else alpha / size) * sums
    if beta == 0.75:  # two roots instead of a logarithm and an exponential
        root = lax.rsqrt(total)
        return (images * (root * jnp.sqrt(root))).astype(images.dtype)
    return (images * total**-beta).astype(images.dtype)


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
    weights = jnp.asarray(gaussian(window, sigma=window / 4 if sigma is None else sigma), images.dtype)
    coverage = _blur(jnp.ones((1, *images.shape[1:3], 1), images.dtype), weights)
    centred = images - _blur(jnp.mean(images, 3, keepdims=True), weights) / coverage
    power = _blur(jnp.mean(jnp.square(centred), 3, keepdims=True), weights) / coverage
    positive = power > 0  # the square root of zero has no gradient
    deviation = jnp.where(positive, jnp.sqrt(jnp.where(positive, power, jnp.ones_like(power))), jnp.zeros_like(power))
    return centred / jnp.maximum(jnp.maximum(deviation, jnp.mean(deviation, (1, 2), keepdims=True)), epsilon)


def _blur(maps: jax.Array, weights: jax.Array) -> jax.Array:
    return conv2d(maps, weights[:, :, None, None], padding='same')


def _check_vectors(array: jax.Array, **vectors: jax.Array) -> None:
    for name, vector in vectors.items():
        if jnp.shape(vector) != array.shape[-1:]:
            raise ValueError(
                f'{name} has shape {jnp.shape(vector)}; give one number for each of {array.shape[-1]} channels'
            )


def _affine(images: jax.Array, factor: jax.Array, shift: jax.Array) -> jax.Array:
    shape = (1,) * (images.ndim - 1) + (-1,)
    return (images * factor.reshape(shape) + shift.reshape(shape)).astype(images.dtype)


def _mean(array: jax.Array, axis_name: AxisName) -> jax.Array:
    mean = jnp.mean(array, tuple(range(array.ndim - 1)))
    return mean if axis_name is None else lax.pmean(mean, axis_name)


def _plain_batch_norm(
    epsilon: float, axis_name: AxisName, images: jax.Array, scale: jax.Array, offset: jax.Array
) -> tuple[jax.Array, Statistics]:
    wide = images.astype(accumulator(images.dtype))
    mean = _mean(wide, axis_name)
    variance = jnp.maximum(_mean(jnp.square(wide), axis_name) - jnp.square(mean), 0)
    factor = scale * lax.rsqrt(variance + epsilon)
    return _affine(wide, factor, offset - mean * factor).astype(images.dtype), Statistics(mean, variance)


_batch_norm = jax.custom_vjp(_plain_batch_norm, nondiff_argnums=(0, 1))


def _batch_norm_forward(epsilon, axis_name, images, scale, offset):
    outputs, statistics = _plain_batch_norm(epsilon, axis_name, images, scale, offset)
    return (outputs, statistics), (images, scale, statistics)


def _batch_norm_backward(epsilon, axis_name, saved, gradients):
    """Gradient of y = a x + b with a = scale / s, s = sqrt(variance + epsilon), x^ = (x - mean) / s.

    dx = a (dy - mean(dy) - x^ mean(dy x^)), the means over all values of a channel: an affine function of dy and x.
    """
    images, scale, (mean, variance) = saved
    gradient = gradients[0].astype(mean.dtype)
    wide = images.astype(mean.dtype)
    inverse = lax.rsqrt(variance + epsilon)
    axes = tuple(range(images.ndim - 1))
    count = images.size // images.shape[-1]
    offset_gradient = jnp.sum(gradient, axes)
    scale_gradient = (jnp.sum(gradient * wide, axes) - mean * offset_gradient) * inverse
    mean_gradient, mean_product = offset_gradient / count, scale_gradient / count
    if axis_name is not None:
        mean_gradient, mean_product = lax.pmean((mean_gradient, mean_product), axis_name)
    factor = scale * inverse
    of_images = -factor * inverse * mean_product
    constant = -factor * mean_gradient - of_images * mean
    shape = (1,) * (images.ndim - 1) + (-1,)
    result = gradient * factor.reshape(shape) + wide * of_images.reshape(shape) + constant.reshape(shape)
    return result.astype(images.dtype), scale_gradient.astype(scale.dtype), offset_gradient.astype(scale.dtype)


_batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)
# Equal layers of a net are traced once, forward and backward: half the tracing time of ResNet-152.
_cached_batch_norm = jax.jit(_batch_norm, static_argnums=(0, 1))
