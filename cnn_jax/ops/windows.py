"""What the formulations share: how windows lie on an image, and the taps of a kernel one by one."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.arguments import Pads, dilated
from cnn_jax.ops.implementation import accumulator

Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """How windows lie on an image, all (height, width)."""

    stride: tuple[int, int]
    pads: Pads
    dilation: tuple[int, int]
    groups: int


class Forms(NamedTuple):
    """Three formulations of a convolution; None stands for XLA's own.

    forward(images, kernel, geometry); images_gradient(gradient, kernel, images_shape, geometry);
    kernel_gradient(images, gradient, kernel_shape, geometry).
    """

    forward: Callable[..., jax.Array] | None = None
    images_gradient: Callable[..., jax.Array] | None = None
    kernel_gradient: Callable[..., jax.Array] | None = None


class Overlap(NamedTuple):
    """Where one kernel tap meets the image on one axis: outputs [first, last), the first from input `start`."""

    first: int
    last: int
    start: int


def output_sizes(images: Shape, kernel: Shape, geometry: Geometry) -> tuple[int, int]:
    """Returns (out_height, out_width)."""
    height, width = (
        (images[1 + a] + sum(geometry.pads[a]) - dilated(kernel[a], geometry.dilation[a])) // geometry.stride[a] + 1
        for a in (0, 1)
    )
    return height, width


def plain(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns XLA's own convolution."""
    return lax.conv_general_dilated(
        images,
        kernel,
        geometry.stride,
        geometry.pads,
        rhs_dilation=geometry.dilation,
        feature_group_count=geometry.groups,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def product(a: jax.Array, b: jax.Array, contract: tuple[int, int] = (1, 0)) -> jax.Array:
    """Returns a matrix product, summed in float32 or wider."""
    axes = (((contract[0],), (contract[1],)), ((), ()))
    return lax.dot_general(a, b, axes, preferred_element_type=accumulator(a.dtype))


def zero(array: jax.Array) -> jax.Array:
    return jnp.zeros((), array.dtype)


def _overlap(size: int, outputs: int, tap: int, axis: int, geometry: Geometry) -> Overlap:
    stride = geometry.stride[axis]
    offset = tap * geometry.dilation[axis] - geometry.pads[axis][0]
    first = max(0, -(offset // stride))  # ceil(-offset / stride)
    last = min(outputs, (size - 1 - offset) // stride + 1)
    return Overlap(first, last, first * stride + offset)


def taps(images: Shape, kernel: Shape, geometry: Geometry) -> Iterator[tuple[int, int, Overlap, Overlap]]:
    """Yields each kernel tap (row, column) that meets the image, and where."""
    outputs = output_sizes(images, kernel, geometry)
    for i, j in itertools.product(range(kernel[0]), range(kernel[1])):
        rows = _overlap(images[1], outputs[0], i, 0, geometry)
        columns = _overlap(images[2], outputs[1], j, 1, geometry)
        if rows.last > rows.first and columns.last > columns.first:
            yield i, j, rows, columns


def seen(images: jax.Array, rows: Overlap, columns: Overlap, stride: tuple[int, int]) -> jax.Array:
    """Returns the pixels that one tap multiplies."""
    ends = [o.start + (o.last - o.first - 1) * s + 1 for o, s in zip((rows, columns), stride, strict=True)]
    low, high = (0, rows.start, columns.start, 0), (images.shape[0], *ends, images.shape[3])
    return lax.slice(images, low, high, (1, *stride, 1))


def padded_copy(images: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the images with their padding, as one array: not one padded copy per tap."""
    pads = [(before, after, 0) for before, after in geometry.pads]
    images = lax.pad(images, zero(images), ((0, 0, 0), *pads, (0, 0, 0)))
    return lax.optimization_barrier(images)


def onto_outputs(part: jax.Array, rows: Overlap, columns: Overlap, outputs: tuple[int, int]) -> jax.Array:
    """Returns `part` at the outputs that it belongs to, zeros elsewhere."""
    pads = [(o.first, size - o.last, 0) for o, size in zip((rows, columns), outputs, strict=True)]
    return lax.pad(part, zero(part), ((0, 0, 0), *pads, (0, 0, 0)))


def onto_images(part: jax.Array, rows: Overlap, columns: Overlap, images: Shape, stride: Shape) -> jax.Array:
    """Returns `part` at the pixels that it came from, zeros elsewhere: the transpose of `seen`."""
    pads = [
        (o.start, size - o.start - (o.last - o.first - 1) * s - 1, s - 1)
        for o, size, s in zip((rows, columns), images[1:3], stride, strict=True)
    ]
    return lax.pad(part, zero(part), ((0, 0, 0), *pads, (0, 0, 0)))


def total(parts: list[jax.Array], like: jax.Array, shape: Shape) -> jax.Array:
    """Returns the sum in the type of `like`; zeros of `shape` if no tap met the image."""
    return sum(parts[1:], parts[0]).astype(like.dtype) if parts else jnp.zeros_like(like, shape=shape)
