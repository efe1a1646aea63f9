"""Convolutions of few channels, computed in the order (height, channels, width, batch).

One channel, or six, as the last axis fill no vector. With the batch last everything does: a tap is a copy of rows,
and all that an output row reads lies together as one matrix, so that an output row is one product.

Each function takes and returns NHWC. XLA turns the transposes between two of them into another layout of the same
array, what stands between them included: only the first images and the last outputs are moved.

Arguments of the forms: see `cnn_jax.ops.cpu.dense`. Stride 1, no dilation, no groups.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.finite import all_finite
from cnn_jax.ops.implementation import accumulator, apart
from cnn_jax.ops.windows import Geometry, Shape, output_sizes, product, zero

FEW, MOST_FILTERS, MOST_PIXELS = 7, 16, 32 * 32  # channels, filters, pixels: measured in small nets, 32 and 128 images
LEAST_ROWS = 12  # of a product; fewer filters are put together over some output rows
SHIFTED_ROWS = 8  # output rows of a block, without products
NONE = (0, 0, 0)  # no padding of an axis


def pays(images: Shape, kernel: Shape, geometry: Geometry) -> bool:
    """Returns whether these forms take these arguments and are faster than the others.

    It does not look at the batch: see `winograd.pays`. With more channels a form may be faster by itself and its net
    slower, for XLA gives the order to what stands beside it: a batch norm of 8 channels, a 3x3 pool of 12.
    """
    if geometry.groups > 1 or geometry.stride != (1, 1) or geometry.dilation != (1, 1):
        return False
    num_taps, channels = kernel[0] * kernel[1], kernel[2]
    most_filters = FEW if channels < 4 else MOST_FILTERS  # fewer in a first layer: the neighbours before it are NHWC
    return (
        channels <= FEW and 16 <= num_taps <= 25 and kernel[3] <= most_filters and images[1] * images[2] <= MOST_PIXELS
    )


def to_batch_last(images: jax.Array) -> jax.Array:
    """Returns (height, channels, width, batch) of (batch, height, width, channels)."""
    return images.transpose(1, 3, 2, 0)


def to_nhwc(images: jax.Array) -> jax.Array:
    """Returns (batch, height, width, channels) of (height, channels, width, batch)."""
    return images.transpose(3, 0, 2, 1)


def forward(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution."""
    return (_shifted_products if kernel.shape[2] == 1 else _row_products)(images, kernel, geometry)


def _shifted_products(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution of one-channel images: the sum over taps of shifted image times tap, some rows at a time.

    The loop keeps XLA from fusing the sum into what follows.
    """
    height, width = output_sizes(images.shape, kernel.shape, geometry)
    down, across, _, filters = kernel.shape
    blocks = -(-height // SHIFTED_ROWS)
    rows = -(-height // blocks)
    (top, bottom), sides = geometry.pads
    pads = ((top, bottom + rows * blocks - height, 0), NONE, (*sides, 0), NONE)
    images = to_batch_last(images)
    padded = lax.optimization_barrier(lax.pad(images, zero(images), pads))  # not one padded copy per tap
    wide = accumulator(images.dtype)
    taps = kernel.astype(wide).reshape(down, across, 1, filters, 1, 1)

    def block(index: jax.Array) -> jax.Array:
        seen = lax.optimization_barrier(lax.dynamic_slice_in_dim(padded, index * rows, rows + down - 1)).astype(wide)
        parts: list[jax.Array] = [
            seen[i : i + rows, :, j : j + width] * taps[i, j] for i in range(down) for j in range(across)
        ]
        return sum(parts[1:], parts[0]).astype(images.dtype)

    made = lax.map(block, jnp.arange(blocks)).reshape(blocks * rows, filters, width, -1)
    return to_nhwc(made[:height])


def _row_products(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution, one product for some output rows."""
    batch, filters = images.shape[0], kernel.shape[3]
    height, width = output_sizes(images.shape, kernel.shape, geometry)
    columns = _columns(images, kernel.shape, geometry, (height, width), kernel[0, 0, 0, 0])

    def by_rows(rows: int, columns: jax.Array, kernel: jax.Array) -> jax.Array:
        blocks, band, seen = -(-height // rows), _band(kernel, rows), rows + kernel.shape[0] - 1

        def block(index: jax.Array) -> jax.Array:
            pixels = lax.dynamic_slice_in_dim(columns, index * rows, seen).reshape(-1, width * batch)
            return product(band, pixels).astype(images.dtype)

        made = lax.map(block, jnp.arange(blocks)).reshape(blocks * rows, filters, width, batch)
        return made[:height]

    return to_nhwc(_row_by_row_if_not_finite(by_rows, _blocks(height, filters)[0], images, columns, kernel))


def _row_by_row_if_not_finite(
    by_rows: Callable[..., jax.Array], rows: int, images: jax.Array, *arrays: jax.Array
) -> jax.Array:
    """Returns by_rows(rows, *arrays), or with a row at a time where an image is not finite.

    A band multiplies by zero the pixels that only its other rows see: see `cnn_jax.ops.finite`.
    """
    single = functools.partial(by_rows, 1)
    if rows == 1:
        return single(*arrays)
    return lax.cond(all_finite(lax.stop_gradient(images)), functools.partial(by_rows, rows), single, *arrays)


def images_gradient(gradient: jax.Array, kernel: jax.Array, images: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient with respect to the images: each output row gives to the rows that it saw."""
    batch, height, width, filters = gradient.shape
    down, across, channels = kernel.shape[:3]
    (top, _), (left, _) = geometry.pads
    taps, wide = kernel.reshape(-1, filters), accumulator(gradient.dtype)
    lines = to_batch_last(gradient).reshape(height, filters, -1)

    def add(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        made = product(taps, lax.dynamic_index_in_dim(lines, index, 0, keepdims=False))
        made = made.reshape(down, across, channels, width, batch)
        parts = [lax.pad(made[:, j], zero(made), (NONE, NONE, (j, across - 1 - j, 0), NONE)) for j in range(across)]
        before = lax.dynamic_slice_in_dim(total, index, down)
        return lax.dynamic_update_slice_in_dim(total, before + sum(parts[1:], parts[0]), index, 0), None

    covered = height + down - 1, channels, width + across - 1, batch
    total = lax.scan(add, jnp.zeros_like(gradient, wide, shape=covered), jnp.arange(height))[0]
    return to_nhwc(total[top : top + images[1], :, left : left + images[2]]).astype(gradient.dtype)


def kernel_gradient(
    images: jax.Array, gradient: jax.Array, kernel: Shape, geometry: Geometry, *, scalar: jax.Array
) -> jax.Array:
    """Returns the gradient with respect to the kernel, summed over blocks of output rows.

    scalar: the kernel's first number, see `implementation.apart`.
    """
    batch, height, width, filters = gradient.shape
    columns = _columns(images, kernel, geometry, (height, width), scalar)  # those of `forward`: XLA makes them once
    lines = to_batch_last(gradient).reshape(height, filters, -1)  # those of `images_gradient`

    def by_rows(rows: int, columns: jax.Array, lines: jax.Array) -> jax.Array:
        blocks, seen = -(-height // rows), rows + kernel[0] - 1
        if rows * blocks > height:
            lines = lax.pad(lines, zero(lines), ((0, rows * blocks - height, 0), NONE, NONE))

        def add(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
            pixels = lax.dynamic_slice_in_dim(columns, index * rows, seen).reshape(-1, width * batch)
            mine = lax.dynamic_slice_in_dim(lines, index * rows, rows).reshape(-1, width * batch)
            return total + product(pixels, mine, (1, 1)), None

        nothing = jnp.zeros_like(gradient, accumulator(gradient.dtype), shape=(seen * columns.shape[1], rows * filters))
        total = lax.scan(add, nothing, jnp.arange(blocks))[0].reshape(seen, *kernel[1:3], rows, filters)
        parts = [total[row : row + kernel[0], :, :, row] for row in range(rows)]  # the band's
        return sum(parts[1:], parts[0]).astype(images.dtype)

    rows = _blocks(height, filters)[0]
    if height % rows == 0:  # no rows of zeros beyond the last
        return by_rows(rows, columns, lines)
    return _row_by_row_if_not_finite(by_rows, rows, images, columns, lines)


def bias_gradient(gradient: jax.Array) -> jax.Array:
    """Returns the gradient of an added bias, (out,). For its own sum XLA would first move the whole array to NHWC."""
    wide = gradient.astype(accumulator(gradient.dtype))
    return jnp.sum(lax.optimization_barrier(to_batch_last(wide)), (0, 2, 3)).astype(gradient.dtype)


def _blocks(height: int, filters: int) -> tuple[int, int]:
    """Returns how many output rows one product makes, and how many products make them all."""
    rows = min(height, -(-LEAST_ROWS // filters))
    return rows, -(-height // rows)


def _columns(
    images: jax.Array, kernel: Shape, geometry: Geometry, outputs: tuple[int, int], scalar: jax.Array
) -> jax.Array:
    """Returns what the taps across see of each row, (padded height, kernel width * in, out width * batch)."""
    rows, blocks = _blocks(outputs[0], kernel[3])
    (top, bottom), sides = geometry.pads
    pads = ((top, bottom + rows * blocks - outputs[0], 0), NONE, (*sides, 0), NONE)
    images = to_batch_last(images)

    def shifted(images: jax.Array) -> jax.Array:
        padded = lax.pad(images, zero(images), pads)
        return jnp.concatenate([padded[:, :, j : j + outputs[1]] for j in range(kernel[1])], 1)

    def gathered(images: jax.Array) -> jax.Array:
        index = jnp.arange(kernel[1])[:, None] + jnp.arange(outputs[1])[None]
        taken = lax.pad(images, zero(images), pads)[:, :, index].transpose(0, 2, 1, 3, 4)
        return taken.reshape(taken.shape[0], -1, *taken.shape[3:])

    # Else XLA computes what made the images, a tanh or a pool, once per tap.
    made = apart(shifted, gathered, scalar)(images)
    return made.reshape(*made.shape[:2], -1)


def _band(kernel: jax.Array, rows: int) -> jax.Array:
    """Returns the matrix (rows * out, (rows + height - 1) * width * in) that makes `rows` output rows."""
    height, _, _, filters = kernel.shape
    taps = kernel.reshape(height, -1, filters).transpose(2, 0, 1)
    parts = [lax.pad(taps, zero(taps), (NONE, (row, rows - 1 - row, 0), NONE)) for row in range(rows)]
    return jnp.stack(parts).reshape(rows * filters, -1)
