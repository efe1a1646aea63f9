"""Reading the arguments that convolutions and pools share: pairs, padding, ranks and dtypes."""

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

Int = SupportsIndex  # an integer of Python or of numpy
Pair = Int | Sequence[Int]
Padding = str | Int | Sequence[Int] | Sequence[Sequence[Int]]
Pads = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))


def is_int(value: Any) -> bool:
    """Returns whether a value is one integer, of Python or of numpy; True and False are not."""
    if isinstance(value, (bool, np.bool_)):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def read_count(name: str, value: Any) -> int:
    """Returns an integer.

    Raises: ValueError if it is none, or below 1.
    """
    if not is_int(value) or value < 1:
        raise ValueError(f'{name} is {value!r}; it must be an integer of at least 1')
    return operator.index(value)


def read_pair(name: str, value: Pair, *, least: int = 1) -> tuple[int, int]:
    """Returns (height, width) from an int, which stands for both, or from two ints.

    Raises: ValueError if they are not integers of at least `least`.
    """
    values: Any = (value, value) if is_int(value) else value
    if not isinstance(values, (tuple, list)) or len(values) != 2 or not all(is_int(v) for v in values):
        raise ValueError(f'{name} is {value!r}; give an integer or a pair (height, width)')
    height, width = (operator.index(v) for v in values)
    if min(height, width) < least:
        raise ValueError(f'{name} is {value!r}; it must be at least {least}')
    return height, width


def dilated(window: int, dilation: int) -> int:
    """Returns the length that a window covers when its taps stand `dilation` apart."""
    return (window - 1) * dilation + 1


def same_pads(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Returns (before, after) so that the output has ceil(size / stride) places; an odd one goes to the end."""
    total = max((-(-size // stride) - 1) * stride + dilated(window, dilation) - size, 0)
    return total // 2, total - total // 2


def read_padding(
    padding: Padding,
    sizes: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Pads:
    """Returns ((top, bottom), (left, right)).

    padding: 'valid' | 'same' | p | (height, width) | ((top, bottom), (left, right)).

    Raises: ValueError for anything else, and for negative padding.
    """
    if isinstance(padding, str):
        name = padding.lower()
        if name == 'valid':
            return ((0, 0), (0, 0))
        if name == 'same':
            top, left = (same_pads(*row) for row in zip(sizes, window, stride, dilation, strict=True))
            return (top, left)
        raise ValueError(f"padding is {padding!r}; give 'valid', 'same', an integer, a pair or two pairs")
    given: Any = padding
    if isinstance(given, (tuple, list)) and len(given) == 2 and all(isinstance(p, (tuple, list)) for p in given):
        top, left = (read_pair('padding', p, least=0) for p in given)
        return (top, left)
    height, width = read_pair('padding', given, least=0)
    return ((height, height), (width, width))


def check_images(name: str, images: jax.Array) -> jax.Array:
    """Returns `images` as an array.

    Raises: ValueError unless it is (batch, height, width, channels) of a floating-point type. Only the batch may be
    empty.
    """
    images = _check_array(name, images, '(batch, height, width, channels)')
    if 0 in images.shape[1:]:
        raise ValueError(f'{name} has shape {images.shape}; height, width and channels must be at least 1')
    return images


def check_kernel(name: str, kernel: jax.Array, axes: str = '(height, width, in, out)') -> jax.Array:
    """Returns `kernel` as an array.

    Raises: ValueError unless it has 4 axes, none of them empty, and a floating-point type.
    """
    kernel = _check_array(name, kernel, axes)
    if 0 in kernel.shape:
        raise ValueError(f'{name} has shape {kernel.shape}; each of {axes} must be at least 1')
    return kernel


def _check_array(name: str, array: jax.Array, axes: str) -> jax.Array:
    array = jnp.asarray(array)
    if array.ndim != 4:
        raise ValueError(f'{name} has shape {array.shape}; give 4 axes {axes}')
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f'{name} is {array.dtype}; give a floating-point array, such as {name}.astype(jnp.float32)')
    return array


def check_same_dtype(images: jax.Array, kernel: jax.Array) -> None:
    """Raises: ValueError if the two differ in type; nothing is promoted silently."""
    if images.dtype != kernel.dtype:
        raise ValueError(f'images are {images.dtype} and the kernel is {kernel.dtype}; cast one to the other')


def check_bias(bias: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns `bias` as an array.

    Raises: ValueError unless it is (out,), one number for each output of the kernel, and of the kernel's type.
    """
    bias = jnp.asarray(bias)
    if bias.shape != kernel.shape[3:]:
        raise ValueError(f'bias has shape {bias.shape}; the kernel {kernel.shape} needs {kernel.shape[3:]}')
    if bias.dtype != kernel.dtype:
        raise ValueError(f'the bias is {bias.dtype} and the kernel is {kernel.dtype}; cast one to the other')
    return bias


def check_fits(sizes: tuple[int, int], window: tuple[int, int], pads: Pads, dilation: tuple[int, int] = (1, 1)) -> None:
    """Raises: ValueError if a window (with its dilation) is larger than the padded input."""
    padded = tuple(size + sum(pad) for size, pad in zip(sizes, pads, strict=True))
    covered = tuple(dilated(w, d) for w, d in zip(window, dilation, strict=True))
    if any(c > p for c, p in zip(covered, padded, strict=True)):
        spread = '' if covered == window else f' ({covered[0]}x{covered[1]} with its dilation)'
        raise ValueError(
            f'a {window[0]}x{window[1]} window{spread} is larger than the padded input {padded[0]}x{padded[1]}; '
            'use a smaller window or more padding'
        )


def from_nhwc(images: jax.Array, data_format: str) -> jax.Array:
    """Returns NHWC images in `data_format`."""
    return jnp.transpose(images, (0, 3, 1, 2)) if data_format == 'NCHW' else images


def to_nhwc(images: jax.Array, data_format: str) -> jax.Array:
    """Returns images of `data_format` as NHWC.

    Raises: ValueError for a data_format other than 'NHWC' and 'NCHW', or images that have not 4 axes.
    """
    if data_format not in ('NHWC', 'NCHW'):
        raise ValueError(f"data_format is {data_format!r}; give 'NHWC' or 'NCHW'")
    if data_format == 'NHWC':
        return images
    images = jnp.asarray(images)
    if images.ndim != 4:
        raise ValueError(f'images has shape {images.shape}; give 4 axes (batch, channels, height, width)')
    return jnp.transpose(images, (0, 2, 3, 1))
