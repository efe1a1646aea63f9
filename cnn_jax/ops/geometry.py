"""The arithmetic of windows: output sizes, padding, receptive fields, parameters and multiply-adds."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.ops import arguments
from cnn_jax.ops.implementation import implementation


def output_size(
    size: int,
    window: int,
    *,
    stride: int = 1,
    padding: int | Sequence[int] = 0,
    dilation: int = 1,
    exact: bool = True,
) -> int:
    """Returns (N - F + 2P) / S + 1, the number of places of a window on one axis.

    size, window: N and F, in pixels. padding: P on both sides, or (before, after).
    exact: False gives the floor, which is what the convolutions and pools do.

    Raises: ValueError if the window is larger than the padded size, or does not fit evenly while `exact`.
    """
    for name, value in (('size', size), ('window', window), ('stride', stride), ('dilation', dilation)):
        arguments.read_pair(name, value)
    before, after = arguments.read_pair('padding', padding, least=0)
    covered = arguments.dilated(window, dilation)
    room = size + before + after - covered
    if room < 0:
        spread = '' if dilation == 1 else f' (dilated to {covered})'
        raise ValueError(
            f'a {window}x{window} filter{spread} is larger than the padded size of {size + before + after}; '
            f'padding {-(-(covered - size) // 2)} gives 1 or more places'
        )
    if exact and room % stride:
        raise ValueError(_misfit(size, window, stride, before + after, covered))
    return room // stride + 1


def _misfit(size: int, window: int, stride: int, pads: int, covered: int) -> str:
    shown = f'({size}-{covered}+{pads})' if pads else f'({size}-{covered})'
    places = (size + pads - covered) / stride + 1
    fitting = next(
        (p for p in range(covered + stride) if size + 2 * p >= covered and not _left(size, covered, stride, p)), None
    )
    way_out = (
        f'exact=False floors to {int(places)}'
        if fitting is None
        else f'padding {fitting} gives {(size - covered + 2 * fitting) // stride + 1}'
    )
    return (
        f'a {window}x{window} filter at stride {stride} does not fit a size of {size}: '
        f'{shown}/{stride}+1 = {places:.2f}; {way_out}'
    )


def _left(size: int, covered: int, stride: int, padding: int) -> int:
    """Returns how many rows or columns stay unused with this padding on both sides."""
    return (size + 2 * padding - covered) % stride


def same_padding(window: int, *, dilation: int = 1) -> int:
    """Returns (F - 1) / 2, the padding on each side that preserves the size at stride 1 (times the dilation).

    Raises: ValueError for an even extent, which needs one pixel more on one side: padding='same' does that.
    """
    reach = arguments.dilated(window, dilation) - 1
    if reach % 2:
        raise ValueError(f"a window of {reach + 1} has no equal padding that preserves the size; use padding='same'")
    return reach // 2


class Window(NamedTuple):
    """One layer of a chain, along one axis: a convolution or a pool. padding: before the first pixel."""

    size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


class ReceptiveField(NamedTuple):
    """What a unit sees of the input along one axis.

    size: pixels that it can see. stride: pixels from the field of a unit to that of its neighbour. start: the first
    pixel of unit 0's field, negative if that lies in the padding.
    """

    size: int
    stride: int
    start: int


def receptive_field(chain: Iterable[Window]) -> ReceptiveField:
    """Returns the receptive field after a chain of layers, input first.

    With S the product of the strides before a layer: size grows by (F - 1) D S and start falls by P S.

    Source: Araujo et al. 2019, "Computing receptive fields of convolutional neural networks", Distill.
    """
    size, stride, start = 1, 1, 0
    for window in chain:
        size += (arguments.dilated(window.size, window.dilation) - 1) * stride
        start -= window.padding * stride
        stride *= window.stride
    return ReceptiveField(size, stride, start)


def gradient_support(
    function: Callable[[jax.Array], jax.Array],
    shape: tuple[int, int, int],
    *,
    unit: tuple[int, int] | None = None,
    num_tries: int = 3,
    seed: int = 0,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns ((top, bottom), (left, right)): the input rows and columns, ends excluded, that one unit depends on.

    function: images (1, height, width, channels) to maps (1, rows, columns, channels). shape: of one image.
    unit: (row, column) of the maps, the middle one if None; all its channels together.

    By autodiff: the support of the gradient, joined over `num_tries` random images, for a ReLU or a maximum lets only
    a part through in each. It can fall short of `receptive_field` where the padding is hit or a path is closed.

    Raises: ValueError if the unit depends on no pixel.
    """
    support = np.zeros(shape[:2], bool)
    for key in jax.random.split(jax.random.key(seed), num_tries):
        image = jax.random.normal(key, (1, *shape))
        with implementation('lax'):  # other forms may leave rounding where a gradient is 0
            maps, pull = jax.vjp(function, image)
        row, column = (maps.shape[1] // 2, maps.shape[2] // 2) if unit is None else unit
        weights = jax.random.normal(key, maps.shape[3:], maps.dtype)  # so that channels do not cancel
        gradient = pull(jnp.zeros_like(maps).at[0, row, column].set(weights))[0]
        support |= np.asarray(jnp.any(gradient[0] != 0, axis=-1))
    if not support.any():
        raise ValueError(f'unit {unit} depends on no pixel; choose another unit or more tries')
    rows, columns = (np.flatnonzero(support.any(axis)) for axis in (1, 0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def conv2d_parameters(kernel_shape: Sequence[int], *, use_bias: bool = True) -> int:
    """Returns the number of parameters of a convolution with a kernel (height, width, in // groups, out)."""
    return math.prod(kernel_shape) + (kernel_shape[3] if use_bias else 0)


def conv2d_macs(kernel_shape: Sequence[int], out_sizes: tuple[int, int]) -> int:
    """Returns the multiply-adds of a convolution for one image; padding counts, the bias does not.

    kernel_shape: (height, width, in // groups, out); out_sizes: (out_height, out_width).
    """
    return math.prod(kernel_shape) * math.prod(out_sizes)


def dense_parameters(num_inputs: int, num_outputs: int, *, use_bias: bool = True) -> int:
    """Returns the number of parameters of a dense layer."""
    return (num_inputs + bool(use_bias)) * num_outputs


def dense_macs(num_inputs: int, num_outputs: int) -> int:
    """Returns the multiply-adds of a dense layer for one image; the bias does not count."""
    return num_inputs * num_outputs
