"""Max-pooling by slices, and its gradient by the position of each window's first maximum.

XLA's own gradient (select-and-scatter) is 10 to 25 times slower on a CPU. Maximum by maximum (`jnp.maximum` under
autodiff) would be as fast but splits the gradient among ties, which after a ReLU are common: another function.
"""

import itertools

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.arguments import Pads
from cnn_jax.ops.implementation import accumulator

Sizes = tuple[int, int]

MAX_TAPS = 25  # windows with more elements than this are left to XLA


def _window_slices(images: jax.Array, window: Sizes, stride: Sizes, pads: Pads) -> list[jax.Array]:
    """Returns element (0, 0) of every window, then (0, 1), and so on: each (batch, out_height, out_width, channels)."""
    images = lax.optimization_barrier(images)  # else XLA computes what made the images once per slice
    if pads != ((0, 0), (0, 0)):
        lowest = jnp.full_like(images, -jnp.inf, shape=())
        images = lax.pad(images, lowest, ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))
        images = lax.optimization_barrier(images)
    batch, height, width, channels = images.shape
    rows, columns = (height - window[0]) // stride[0] * stride[0] + 1, (width - window[1]) // stride[1] * stride[1] + 1
    return [
        lax.slice(images, (0, i, j, 0), (batch, i + rows, j + columns, channels), (1, *stride, 1))
        for i, j in itertools.product(range(window[0]), range(window[1]))
    ]


def max_pool(images: jax.Array, *, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    """Returns the largest element of every window."""
    best, *others = _window_slices(images.astype(accumulator(images.dtype)), window, stride, pads)
    for other in others:
        best = jnp.maximum(best, other)
    return best.astype(images.dtype)


def _first_maximum(images: jax.Array, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    """Returns the place (row * window width + column, int8) of the first maximum of every window."""
    best, *others = _window_slices(images, window, stride, pads)
    place = jnp.zeros_like(best, jnp.int8)
    for index, other in enumerate(others, 1):
        larger = other > best
        best = jnp.where(larger, other, best)
        place = jnp.where(larger, jnp.full_like(place, index), place)
    return place


def _windows_of_pixel(remainder: int, window: int, stride: int, pad: int) -> list[tuple[int, int]]:
    """Returns every (shift, tap) such that pixel stride * n + remainder is element `tap` of window n + shift."""
    position = remainder + pad
    return [
        (position // stride - back, position % stride + back * stride)
        for back in range((window - 1) // stride + 1)
        if position % stride + back * stride < window
    ]


def max_pool_gradient(images: jax.Array, gradient: jax.Array, *, window: Sizes, stride: Sizes, pads: Pads) -> jax.Array:
    """Returns the gradient with respect to the images: each pixel sums over the windows whose first maximum it is.

    Pixels are taken by their remainder to the stride, (row, column): all of one remainder lie in the same taps of
    their windows, so one sum of shifted arrays serves them all.
    """
    wide = accumulator(images.dtype)
    place = lax.optimization_barrier(_first_maximum(images.astype(wide), window, stride, pads))
    gradient = gradient.astype(wide)
    counts = [-(-images.shape[1 + axis] // stride[axis]) for axis in (0, 1)]  # pixels of one remainder
    low = [(window[axis] - 1) // stride[axis] for axis in (0, 1)]
    high = [
        max(0, counts[axis] + (stride[axis] - 1 + pads[axis][0]) // stride[axis] - gradient.shape[1 + axis])
        for axis in (0, 1)
    ]
    if low != [0, 0] or high != [0, 0]:
        margins = ((0, 0, 0), (low[0], high[0], 0), (low[1], high[1], 0), (0, 0, 0))
        gradient = lax.pad(gradient, jnp.zeros_like(gradient, shape=()), margins)
        place = lax.pad(place, jnp.full_like(place, -1, shape=()), margins)
        gradient, place = lax.optimization_barrier((gradient, place))

    def pixels(row: int, column: int) -> jax.Array:
        parts = []
        for (down, i), (right, j) in itertools.product(
            _windows_of_pixel(row, window[0], stride[0], pads[0][0]),
            _windows_of_pixel(column, window[1], stride[1], pads[1][0]),
        ):
            top, left = low[0] + down, low[1] + right
            seen = (slice(None), slice(top, top + counts[0]), slice(left, left + counts[1]))
            mine = place[seen] == i * window[1] + j
            parts.append(jnp.where(mine, gradient[seen], jnp.zeros_like(gradient[seen])))
        if not parts:  # a stride larger than the window leaves pixels out
            shape = (images.shape[0], *counts, images.shape[3])
            return jnp.zeros_like(gradient, shape=shape)
        return sum(parts[1:], parts[0])

    rows = [jnp.stack([pixels(r, c) for c in range(stride[1])], 3) for r in range(stride[0])]
    whole = jnp.stack(rows, 2)  # (batch, count, stride, count, stride, channels)
    whole = whole.reshape(images.shape[0], counts[0] * stride[0], counts[1] * stride[1], images.shape[3])
    return whole[:, : images.shape[1], : images.shape[2]].astype(images.dtype)
