"""Max-pooling by slices, and its gradient by the place of each window's first maximum.

XLA's own gradient (select-and-scatter) is 10 to 25 times slower on a CPU, 2 to 16 times on a GPU. Maximum by maximum
(`jnp.maximum` under autodiff) would be as fast but splits the gradient among ties, which after a ReLU are common:
another function.

`hold` is `lax.optimization_barrier` on a CPU, where XLA computes what made an array once per slice of it; a GPU
computes slices together, and holds nothing.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.arguments import Pads
from cnn_jax.ops.implementation import accumulator
from cnn_jax.ops.windows import NO_PADS, Shape

Sizes = tuple[int, int]
Hold = Callable[[Any], Any]

MAX_TAPS = 25  # windows with more elements than this are left to XLA


def _window_slices(images: jax.Array, window: Sizes, stride: Sizes, pads: Pads, hold: Hold) -> list[jax.Array]:
    """Returns element (0, 0) of every window, then (0, 1), and so on: each (batch, out_height, out_width, channels)."""
    images = hold(images)
    if pads != NO_PADS:
        lowest = jnp.full_like(images, -jnp.inf, shape=())
        images = hold(lax.pad(images, lowest, ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0))))
    batch, height, width, channels = images.shape
    rows, columns = (height - window[0]) // stride[0] * stride[0] + 1, (width - window[1]) // stride[1] * stride[1] + 1
    return [
        lax.slice(images, (0, i, j, 0), (batch, i + rows, j + columns, channels), (1, *stride, 1))
        for i, j in itertools.product(range(window[0]), range(window[1]))
    ]


def largest(images: jax.Array, *, window: Sizes, stride: Sizes, pads: Pads, hold: Hold) -> jax.Array:
    """Returns the largest element of every window."""
    best, *others = _window_slices(images, window, stride, pads, hold)
    for other in others:
        best = jnp.maximum(best, other)
    return best


def first_largest(
    images: jax.Array, *, window: Sizes, stride: Sizes, pads: Pads, hold: Hold
) -> tuple[jax.Array, jax.Array]:
    """Returns the largest element of every window, and the place (row * window width + column, int8) of its first.

    The place is the one that XLA's gradient chooses, which goes on to the next element unless what it has is at least
    as large: it leaves a NaN, and comes to the next one. With padding, over which XLA steps, a NaN is stepped over.
    """
    best, *others = _window_slices(images, window, stride, pads, hold)
    chosen, place = best, jnp.zeros_like(best, jnp.int8)
    for index, other in enumerate(others, 1):
        moves = ~(chosen >= other) if pads == NO_PADS else other > chosen
        place = jnp.where(moves, jnp.full_like(place, index), place)
        chosen = jnp.where(moves, other, chosen)
        best = jnp.maximum(best, other)  # steps over no NaN
    return best, place


def _windows_of_pixel(remainder: int, window: int, stride: int, pad: int) -> list[tuple[int, int]]:
    """Returns every (shift, tap) such that pixel stride * n + remainder is element `tap` of window n + shift."""
    position = remainder + pad
    return [
        (position // stride - back, position % stride + back * stride)
        for back in range((window - 1) // stride + 1)
        if position % stride + back * stride < window
    ]


def by_remainder(
    place: jax.Array, gradient: jax.Array, *, images: Shape, window: Sizes, stride: Sizes, pads: Pads, hold: Hold
) -> jax.Array:
    """Returns the gradient of images of this shape: each pixel sums over the windows whose first maximum it is.

    Pixels are taken by their remainder to the stride, (row, column): all of one remainder lie in the same taps of
    their windows, so one sum of shifted arrays serves them all. Sums are in the accumulator's type.
    """
    counts = [-(-images[1 + axis] // stride[axis]) for axis in (0, 1)]  # pixels of one remainder
    low = [(window[axis] - 1) // stride[axis] for axis in (0, 1)]
    high = [
        max(0, counts[axis] + (stride[axis] - 1 + pads[axis][0]) // stride[axis] - gradient.shape[1 + axis])
        for axis in (0, 1)
    ]
    if low != [0, 0] or high != [0, 0]:
        place, gradient = hold(_widened(place, gradient, [*zip(low, high, strict=True)]))

    def pixels(row: int, column: int) -> jax.Array:
        parts = []
        for (down, i), (right, j) in itertools.product(
            _windows_of_pixel(row, window[0], stride[0], pads[0][0]),
            _windows_of_pixel(column, window[1], stride[1], pads[1][0]),
        ):
            top, left = low[0] + down, low[1] + right
            seen = (slice(None), slice(top, top + counts[0]), slice(left, left + counts[1]))
            parts.append(_only(place[seen] == i * window[1] + j, gradient[seen]))
        if not parts:  # a stride larger than the window leaves pixels out
            return jnp.zeros_like(gradient, accumulator(gradient.dtype), shape=(images[0], *counts, images[3]))
        return sum(parts[1:], parts[0])

    rows = [jnp.stack([pixels(r, c) for c in range(stride[1])], 3) for r in range(stride[0])]
    whole = jnp.stack(rows, 2)  # (batch, count, stride, count, stride, channels)
    whole = whole.reshape(images[0], counts[0] * stride[0], counts[1] * stride[1], images[3])
    return whole[:, : images[1], : images[2]]


def by_pixel(
    place: jax.Array, gradient: jax.Array, *, images: Shape, window: Sizes, stride: Sizes, pads: Pads
) -> jax.Array:
    """Returns what `by_remainder` does, pixel by pixel: each one looks up the windows that it lies in."""
    parts = []
    backs = [range((window[a] - 1) // stride[a] + 1) for a in (0, 1)]
    for back in itertools.product(backs[0], backs[1]):
        row, column = (_taps_of_pixels(a, images, stride, pads, back) for a in (0, 1))
        mine = jnp.where((row < window[0]) & (column < window[1]), row * window[1] + column, -2)  # the pixel's place
        last = [(images[1 + a] - 1 + pads[a][0]) // stride[a] for a in (0, 1)]  # the last window that starts before
        edges = [(back[a], last[a] + 1 - gradient.shape[1 + a] - back[a]) for a in (0, 1)]
        found, share = (_repeated(array, images, stride, pads) for array in _widened(place, gradient, edges))
        parts.append(_only(found == mine, share))
    return sum(parts[1:], parts[0])


def _taps_of_pixels(axis: int, images: Shape, stride: Sizes, pads: Pads, back: Sizes) -> jax.Array:
    """Returns which row or column each pixel is of the last window that starts before it, or `back` before that."""
    pixels = jnp.expand_dims(jnp.arange(images[1 + axis], dtype=jnp.int32), [a for a in range(4) if a != 1 + axis])
    return (pixels + pads[axis][0]) % stride[axis] + back[axis] * stride[axis]


def _repeated(array: jax.Array, images: Shape, stride: Sizes, pads: Pads) -> jax.Array:
    """Returns one element for each pixel, out of one for each window: (batch, height, width, channels)."""
    batch, height, width, channels = array.shape
    whole = jnp.broadcast_to(array[:, :, None, :, None], (batch, height, stride[0], width, stride[1], channels))
    whole = whole.reshape(batch, height * stride[0], width * stride[1], channels)
    top, left = pads[0][0], pads[1][0]
    return whole[:, top : top + images[1], left : left + images[2]]


def _widened(place: jax.Array, gradient: jax.Array, edges: list[tuple[int, int]]) -> tuple[jax.Array, jax.Array]:
    """Returns both with windows around them that have no maximum."""
    margins = ((0, 0, 0), *((low, high, 0) for low, high in edges), (0, 0, 0))
    return (
        lax.pad(place, jnp.full_like(place, -1, shape=()), margins),
        lax.pad(gradient, jnp.zeros_like(gradient, shape=()), margins),
    )


def _only(mine: jax.Array, gradient: jax.Array) -> jax.Array:
    gradient = gradient.astype(accumulator(gradient.dtype))
    return jnp.where(mine, gradient, jnp.zeros_like(gradient))
