"""Pooling over windows of NHWC images."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnn_jax.ops import arguments
from cnn_jax.ops.arguments import Padding, Pads, Pair
from cnn_jax.ops.cpu import batch_minor_pool
from cnn_jax.ops.cpu import choice as cpu_choice
from cnn_jax.ops.cpu import max_pool as cpu_max_pool
from cnn_jax.ops.gpu import max_pool as gpu_max_pool
from cnn_jax.ops.implementation import accumulator, by_platform, is_plain
from cnn_jax.ops.lengths import root, shrink
from cnn_jax.ops.maxima import MAX_TAPS

Sizes = tuple[int, int]


def max_pool(
    images: jax.Array,
    *,
    window: Pair,
    stride: Pair | None = None,
    padding: Padding = 'valid',
    ceil_mode: bool = False,
    data_format: str = 'NHWC',
) -> jax.Array:
    """Returns the largest value of each window, channel by channel: (batch, out_height, out_width, channels).

    images: (batch, height, width, channels), floating point; (batch, channels, height, width) with data_format 'NCHW'.
    window, stride: an int or (height, width); the stride is the window if None, and windows overlap if it is smaller.
    padding: as for `conv2d`, and below the window; it never wins, for it counts as minus infinity.
    ceil_mode: the last window may hang over the edge, as in Caffe and GoogLeNet; it starts inside the image or its
    leading padding (torch's rule).

    The gradient goes to the first maximum of a window, row by row, as `flax.linen.max_pool`'s does. A window with a NaN
    has the maximum NaN; its gradient goes where XLA's does, to the first maximum of what follows the last NaN, or to
    that NaN. With padding the fast forms step over a NaN, and a window without a number above minus infinity may give
    its gradient to nothing; `implementation('lax')` is XLA's there too.

    Raises: ValueError for a wrong rank or type, a zero stride, a window larger than the padded input, padding that is
    not below the window, so that a window could hold nothing else.
    """
    images = arguments.check_images('images', arguments.to_nhwc(images, data_format))
    window, stride, pads = _read(images, window, stride, padding)
    _check_covers(window, pads)
    if ceil_mode:
        pads = _ceil_pads(images.shape, window, stride, pads)
    few_taps = window[0] * window[1] <= MAX_TAPS
    pool = _max_pool if few_taps and images.size and not is_plain() else _plain_max_pool
    return arguments.from_nhwc(pool(images, window, stride, pads), data_format)


def _plain_max_pool(images: jax.Array, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    low = np.array(-np.inf, images.dtype)
    return lax.reduce_window(images, low, lax.max, (1, *window, 1), (1, *stride, 1), ((0, 0), *pads, (0, 0)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(images: jax.Array, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    cpu, gpu = (
        functools.partial(platform.max_pool, window=window, stride=stride, pads=pads)
        for platform in (cpu_max_pool, gpu_max_pool)
    )
    if window[0] * window[1] <= 4:
        cpu = gpu = None  # slices would compute what made the images once per slice
    if cpu_choice.is_batch_minor_pool(images.shape, window, stride, pads):
        cpu = batch_minor_pool.max_pool
    return by_platform(lambda x: _plain_max_pool(x, window, stride, pads), images, cpu=cpu, gpu=gpu)


def _max_pool_forward(
    images: jax.Array, window: Sizes, stride: Sizes, pads: Pads
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Saves the images and the place of each maximum: a platform's gradient reads one, and XLA drops the other."""

    def without_place(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs: jax.Array = _max_pool(images, window, stride, pads)
        return outputs, jnp.zeros_like(outputs, jnp.int8)

    with_place = functools.partial(gpu_max_pool.max_pool_with_place, window=window, stride=stride, pads=pads)
    outputs, place = by_platform(without_place, images, gpu=with_place)
    return outputs, (images, place)


def _max_pool_backward(
    window: Sizes, stride: Sizes, pads: Pads, saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array]:
    windows = {'window': window, 'stride': stride, 'pads': pads}

    def plain(images: jax.Array, place: jax.Array, gradient: jax.Array) -> jax.Array:
        del place
        return jax.vjp(lambda x: _plain_max_pool(x, window, stride, pads), images)[1](gradient)[0]

    def on_cpu(images: jax.Array, place: jax.Array, gradient: jax.Array) -> jax.Array:
        del place
        if cpu_choice.is_batch_minor_pool(images.shape, window, stride, pads):
            return batch_minor_pool.max_pool_gradient(images, gradient)
        return cpu_max_pool.images_gradient(images, gradient, **windows)

    def on_gpu(images: jax.Array, place: jax.Array, gradient: jax.Array) -> jax.Array:
        return gpu_max_pool.images_gradient(place, gradient, images=images.shape, **windows)

    return (by_platform(plain, *saved, gradient, cpu=on_cpu, gpu=on_gpu),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def avg_pool(
    images: jax.Array,
    *,
    window: Pair,
    stride: Pair | None = None,
    padding: Padding = 'valid',
    count_padding: bool = True,
    ceil_mode: bool = False,
    data_format: str = 'NHWC',
) -> jax.Array:
    """Returns the mean of each window, channel by channel: (batch, out_height, out_width, channels).

    images, window, stride, padding, ceil_mode, data_format: as for `max_pool`.
    count_padding: padding counts as zeros; False divides by the number of real pixels. What hangs over with ceil_mode
    never counts (torch's rule).

    Sums are in float32 or wider; so are those of the gradient.

    Raises: ValueError as `max_pool`; padding that counts may be of any size.
    """
    images = arguments.check_images('images', arguments.to_nhwc(images, data_format))
    window, stride, pads = _read(images, window, stride, padding)
    if not count_padding:
        _check_covers(window, pads)
    whole = _ceil_pads(images.shape, window, stride, pads) if ceil_mode else pads
    counts = [_counts(images.shape[1 + a], window[a], stride[a], pads[a], whole[a], count_padding) for a in (0, 1)]
    wide = images.astype(accumulator(images.dtype))
    means = _window_sums(wide, window, stride, whole) / _divisors(counts[0], counts[1], wide.dtype)
    return arguments.from_nhwc(means.astype(images.dtype), data_format)


def l2_pool(
    images: jax.Array,
    *,
    window: Pair,
    stride: Pair | None = None,
    padding: Padding = 'valid',
    epsilon: float = 0.0,
    data_format: str = 'NHWC',
) -> jax.Array:
    """Returns sqrt(sum of squares + epsilon) of each window, channel by channel.

    images, window, stride, padding, data_format: as for `max_pool`; padding adds nothing, and may be of any size.
    epsilon: at 0 the gradient of a window of zeros is taken as 0, where the square root has none.

    Sums are in float32 or wider; so are those of the gradient.

    Raises: ValueError as `max_pool`, but for padding.
    Source: Sermanet et al. 2012, arXiv:1204.3968 (p = 2, without its Gaussian).
    """
    images = arguments.check_images('images', arguments.to_nhwc(images, data_format))
    window, stride, pads = _read(images, window, stride, padding)
    wide = images.astype(accumulator(images.dtype))
    small = shrink(jnp.full_like(wide, jnp.inf, shape=()))
    sums, shrunk = (_window_sums(jnp.square(part), window, stride, pads) for part in (wide, wide * small))
    is_large = shrink(root(sums)) < 1  # the squares may have overflowed
    roots = jnp.where(is_large, root(shrunk) / small, root(sums + epsilon))
    return arguments.from_nhwc(roots.astype(images.dtype), data_format)


def global_avg_pool(images: jax.Array, *, data_format: str = 'NHWC') -> jax.Array:
    """Returns the mean over height and width: (batch, channels).

    Raises: ValueError for a wrong rank or type. Source: Lin et al. 2013, arXiv:1312.4400.
    """
    images = arguments.check_images('images', arguments.to_nhwc(images, data_format))
    return jnp.mean(images, axis=(1, 2))


def adaptive_avg_pool(images: jax.Array, *, output_size: Pair, data_format: str = 'NHWC') -> jax.Array:
    """Returns means over output_size windows that cover the image, (batch, out_height, out_width, channels).

    Output i of n averages pixels floor(i N / n) to ceil((i + 1) N / n), torch's rule: windows may overlap and differ in
    size. output_size: an int or (height, width); it may be larger than the image.

    Raises: ValueError for a wrong rank or type, or an output size below 1.
    """
    images = arguments.check_images('images', arguments.to_nhwc(images, data_format))
    height, width = arguments.read_pair('output_size', output_size)
    wide = images.astype(accumulator(images.dtype))
    means = _adaptive(_adaptive(wide, 1, height), 2, width).astype(images.dtype)
    return arguments.from_nhwc(means, data_format)


def _adaptive(images: jax.Array, axis: int, outputs: int) -> jax.Array:
    size = images.shape[axis]
    edges = [(i * size // outputs, -(-(i + 1) * size // outputs)) for i in range(outputs)]
    parts = [jnp.mean(lax.slice_in_dim(images, a, b, axis=axis), axis, keepdims=True) for a, b in edges]
    return jnp.concatenate(parts, axis)


def _read(images: jax.Array, window: Pair, stride: Pair | None, padding: Padding) -> tuple[Sizes, Sizes, Pads]:
    sizes = (images.shape[1], images.shape[2])
    window = arguments.read_pair('window', window)
    stride = window if stride is None else arguments.read_pair('stride', stride)
    pads = arguments.read_padding(padding, sizes, window, stride)
    arguments.check_fits(sizes, window, pads)
    return window, stride, pads


def _check_covers(window: Sizes, pads: Pads) -> None:
    """Raises: ValueError if a window may lie in the padding alone: there is no maximum of nothing, and no mean."""
    if any(max(pad) >= size for pad, size in zip(pads, window, strict=True)):
        raise ValueError(f'padding is {pads}; it must be below the window, {window[0]}x{window[1]}')


def _ceil_pads(shape: tuple[int, ...], window: Sizes, stride: Sizes, pads: Pads) -> Pads:
    """Returns the padding that makes the floor of the output size its ceiling."""
    rows, columns = (_ceil_pad(shape[1 + a], window[a], stride[a], pads[a]) for a in (0, 1))
    return rows, columns


def _ceil_pad(size: int, window: int, stride: int, pad: tuple[int, int]) -> tuple[int, int]:
    outputs = math.ceil((size + sum(pad) - window) / stride) + 1
    if (outputs - 1) * stride >= size + pad[0]:
        outputs -= 1  # that window would start in the trailing padding
    return pad[0], max(0, (outputs - 1) * stride + window - size - pad[0])


def _window_sums(images: jax.Array, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    def plain(images: jax.Array) -> jax.Array:
        zero = np.zeros((), images.dtype)
        return lax.reduce_window(images, zero, lax.add, (1, *window, 1), (1, *stride, 1), ((0, 0), *pads, (0, 0)))

    if is_plain() or not cpu_choice.is_batch_minor_pool(images.shape, window, stride, pads):
        return plain(images)
    return by_platform(plain, images, cpu=batch_minor_pool.window_sums)


def _counts(
    size: int, window: int, stride: int, pad: tuple[int, int], whole: tuple[int, int], count_padding: bool
) -> np.ndarray:
    """Returns how many pixels of one axis count in each window. whole: the padding with what hangs over."""
    counted = np.zeros(size + sum(whole))
    counted[: min(size + sum(pad), counted.size)] = 1
    if not count_padding:
        counted[: whole[0]] = counted[whole[0] + size :] = 0
    starts = range(0, counted.size - window + 1, stride)
    return np.array([counted[start : start + window].sum() for start in starts])


def _divisors(rows: np.ndarray, columns: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns the divisor of each window, one number if all are equal, and 1 for a window that counts nothing."""
    counts = np.maximum(np.outer(rows, columns), 1).astype(dtype)
    return counts.ravel()[0] if (counts == counts.ravel()[0]).all() else counts[None, :, :, None]
