"""Batch normalisation: in training, in evaluation, and folded into a convolution."""

import functools
import math
from collections.abc import Hashable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.finite import any_row
from cnn_jax.ops.implementation import accumulator, by_platform, is_plain, same_axes

FAR = 8  # deviations from zero to the mean; the variance loses 6 of 24 bits there

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
    wide = accumulator(images.dtype)
    scale, offset, mean, variance = (
        jnp.asarray(v, jnp.promote_types(v.dtype, wide)) for v in (scale, offset, mean, variance)
    )
    return _affine(images, mean, scale * lax.rsqrt(variance + epsilon), offset)


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
    by hand and reads the images twice, autodiff's about four times. The variance keeps its digits where the mean is
    many deviations from zero, unlike Flax's. What remains: the scale's gradient is off by as many units of its last
    digit as the mean is deviations from zero, and on a GPU or TPU the variance by the square of how many the batch's
    mean at the middle pixel is from the mean.

    Raises: ValueError for vectors that do not match, parts that do not divide the batch, or a part with one value a
    channel over all devices, whose variance is 0 and its gradient nothing.
    Source: Ioffe and Szegedy 2015, arXiv:1502.03167.
    """
    _check_vectors(images, scale=scale, offset=offset)
    if num_ghosts < 1 or images.shape[0] % num_ghosts:
        raise ValueError(f'num_ghosts is {num_ghosts}; it must divide the batch of {images.shape[0]}')
    if (count := values_per_statistic(images.shape, num_ghosts, axis_name)) < 2:
        raise ValueError(
            f'images has shape {images.shape}: each statistic is of {count} value(s), and a variance needs at least 2; '
            'give more images to a part, or use the running statistics'
        )
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


def instance_norm(images: jax.Array, scale: jax.Array, offset: jax.Array, *, epsilon: float = 1e-5) -> jax.Array:
    """Returns each image normalised by its own statistics, each channel by itself: Ulyanov et al. 2016, 1607.08022.

    images: (batch, height, width, channels); scale, offset: (channels,). Statistics are float32 at least, in two
    readings, so that the variance keeps its digits where the mean is large.

    Raises: ValueError unless the vectors have one number per channel.
    """
    _check_vectors(images, scale=scale, offset=offset)
    wide = images.astype(jnp.promote_types(images.dtype, accumulator(images.dtype)))
    centred = wide - jnp.mean(wide, (1, 2), keepdims=True)
    variance = jnp.mean(jnp.square(centred), (1, 2), keepdims=True)
    scale, offset = (_row(jnp.asarray(vector, wide.dtype), wide) for vector in (scale, offset))
    return (centred * lax.rsqrt(variance + epsilon) * scale + offset).astype(images.dtype)


def values_per_statistic(shape: tuple[int, ...], num_ghosts: int = 1, axis_name: AxisName = None) -> int:
    """Returns how many values each statistic of `batch_norm_training` is of, over all devices along `axis_name`.

    shape: of one device's images. The number is static, known when the program is traced.
    """
    num_devices = 1 if axis_name is None else lax.axis_size(axis_name)
    return math.prod(shape[:-1]) // num_ghosts * num_devices


def running_statistics(
    running: Statistics, batch: Statistics, *, momentum: float = 0.9, num_values: int, unbiased: bool = False
) -> Statistics:
    """Returns momentum * running + (1 - momentum) * batch, in the type of the running ones.

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
        (momentum * running.mean + (1 - momentum) * batch.mean).astype(running.mean.dtype),
        (momentum * running.variance + (1 - momentum) * variance).astype(running.variance.dtype),
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


def _check_vectors(array: jax.Array, **vectors: jax.Array) -> None:
    for name, vector in vectors.items():
        if jnp.shape(vector) != array.shape[-1:]:
            raise ValueError(
                f'{name} has shape {jnp.shape(vector)}; give one number for each of {array.shape[-1]} channels'
            )


def _affine(images: jax.Array, mean: jax.Array, factor: jax.Array, offset: jax.Array) -> jax.Array:
    """Returns (images - mean) * factor + offset: where the mean is large, its product would round more than that."""
    mean, factor, offset = (_row(vector, images) for vector in (mean, factor, offset))
    return ((images - mean) * factor + offset).astype(images.dtype)


def _row(vector: jax.Array, images: jax.Array) -> jax.Array:
    return vector.reshape((1,) * (images.ndim - 1) + (-1,))


def _mean(array: jax.Array) -> jax.Array:
    return jnp.mean(array.astype(accumulator(array.dtype)), tuple(range(array.ndim - 1)))


def _moments(images: jax.Array, axis_name: AxisName) -> Statistics:
    """Returns the statistics of the images; devices join theirs at the end."""
    mean, variance = (
        _in_two_readings(images) if is_plain() else by_platform(_shifted, images, cpu=_in_as_many_as_needed)
    )
    if axis_name is None:
        return Statistics(mean, variance)
    whole = lax.pmean(mean, axis_name)
    return Statistics(whole, lax.pmean(variance + jnp.square(mean - whole), axis_name))


def _in_two_readings(images: jax.Array) -> Statistics:
    return _about(images, _mean(images))


def _shifted(images: jax.Array) -> Statistics:
    """Returns the statistics from the batch's mean at the middle pixel, which is near the mean: in one reading."""
    return _about(images, _mean(images[:, *(size // 2 for size in images.shape[1:-1])]))


def _about(images: jax.Array, start: jax.Array) -> Statistics:
    """Returns the statistics by what is left of the images less `start`, on which they do not depend."""
    start = lax.stop_gradient(start)
    rest = _mean(_less(images, start))
    return Statistics(start + rest, jnp.maximum(_mean(jnp.square(_less(images, start))) - jnp.square(rest), 0))


def _in_as_many_as_needed(images: jax.Array) -> Statistics:
    """Returns E[x^2] - E[x]^2 as the variance, and where that loses digits what a second reading gives.

    On a CPU a sum that takes a number from each channel is a third slower; a GPU would wait for the condition.
    """
    mean = _mean(images)
    variance = jnp.maximum(_mean(jnp.square(images.astype(mean.dtype))) - jnp.square(mean), 0)
    is_far = any_row(jnp.any(jnp.square(mean) > FAR**2 * variance))
    return lax.cond(is_far, _in_two_readings, lambda _: Statistics(mean, variance), images)


def _less(images: jax.Array, vector: jax.Array) -> jax.Array:
    return images.astype(vector.dtype) - _row(vector, images)


def _plain_batch_norm(
    epsilon: float, axis_name: AxisName, images: jax.Array, scale: jax.Array, offset: jax.Array
) -> tuple[jax.Array, Statistics]:
    mean, variance = _moments(images, axis_name)
    return _affine(images, mean, scale * lax.rsqrt(variance + epsilon), offset), Statistics(mean, variance)


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
    rows = factor, -factor * inverse * mean_product, -factor * mean_gradient
    of_gradient, of_images, constant = (_row(vector, images) for vector in rows)
    result = gradient * of_gradient + _less(images, mean) * of_images + constant
    return result.astype(images.dtype), scale_gradient.astype(scale.dtype), offset_gradient.astype(scale.dtype)


_batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)
# Equal layers of a net are traced once, forward and backward: half the tracing time of ResNet-152.
_cached_batch_norm = jax.jit(_batch_norm, static_argnums=(0, 1))
