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
NO_PADS: Pads = ((0, 0), (0, 0))
ALL = slice(None)


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
    """Returns XLA's own convolution; neither it nor a gradient of it, of any order, has negative padding.

    XLA:CPU reads memory that nobody wrote where a low padding is negative and the high one is not (jax 0.10.2).
    """
    if any(_has_negative_gradient(images.shape, kernel.shape, geometry, axis) for axis in (0, 1)):
        images, kernel, geometry = _unpadded(images, kernel, geometry)
    return lax.conv_general_dilated(
        images,
        kernel,
        geometry.stride,
        geometry.pads,
        rhs_dilation=geometry.dilation,
        feature_group_count=geometry.groups,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def _has_negative_gradient(images: Shape, kernel: Shape, geometry: Geometry, axis: int) -> bool:
    """Returns whether JAX would give a gradient of the convolution negative padding.

    The images' gradient has what the kernel covers, less one and the padding; the kernel's has the high padding, less
    what no window reaches; the gradients of those two have what the outputs cover, less one and the padding.
    """
    pads, stride = geometry.pads[axis], geometry.stride[axis]
    reach = dilated(kernel[axis], geometry.dilation[axis]) - 1
    room = images[1 + axis] + sum(pads) - 1 - reach
    unused = room % stride
    return max(pads) > min(reach, room - unused) or unused > pads[1]


def _unpadded(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> tuple[jax.Array, jax.Array, Geometry]:
    """Returns the same convolution of images that hold their padding and nothing that no window reaches."""
    outputs = output_sizes(images.shape, kernel.shape, geometry)
    if kernel.shape[:2] == (1, 1):  # a copy of the pixels that it reads is smaller than one of all
        images = sliced(padded(images, geometry.pads), ALL, *(slice(None, None, stride) for stride in geometry.stride))
        return images, kernel, Geometry((1, 1), NO_PADS, (1, 1), geometry.groups)
    ends = [
        (o - 1) * s + dilated(k, d)
        for o, s, k, d in zip(outputs, geometry.stride, kernel.shape[:2], geometry.dilation, strict=True)
    ]
    images = sliced(padded(images, geometry.pads), ALL, slice(ends[0]), slice(ends[1]))
    return images, kernel, geometry._replace(pads=NO_PADS)


def stretched(
    images: jax.Array,
    kernel: jax.Array,
    pads: Pads,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int = 1,
) -> jax.Array:
    """Returns the convolution of images whose pixels stand `stride` apart: another convolution's transpose.

    kernel: already turned by 180 degrees. pads: of the stretched images; negative ones crop. The convolution itself is
    given what no gradient of it makes negative (see `plain`): beyond what the kernel reaches the outputs are zeros, and
    what is too much is cropped from them.
    """
    inner, outer = [], []
    for axis in (0, 1):
        reach = dilated(kernel.shape[axis], dilation[axis]) - 1
        least = max(0, reach - (images.shape[1 + axis] - 1) * stride[axis])
        inner.append(tuple(min(max(pad, least), reach) for pad in pads[axis]))
        outer.append(tuple(pad - given for pad, given in zip(pads[axis], inner[axis], strict=True)))
    outputs = lax.conv_general_dilated(
        images,
        kernel,
        (1, 1),
        inner,
        lhs_dilation=stride,
        rhs_dilation=dilation,
        feature_group_count=groups,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    return padded(outputs, (outer[0], outer[1]))


def padded(images: jax.Array, pads: Pads) -> jax.Array:
    """Returns the images with zeros around them."""
    return lax.pad(images, zero(images), ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))


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


def sliced(array: jax.Array, *cuts: slice) -> jax.Array:
    """Returns array[cuts], one cut for each of the first axes, as a slice.

    Indexing makes a gather of it where the batch is only a name, as in an exported program: four times slower on a CPU.
    """
    ranges = [(0, size, 1) for size in array.shape]
    for axis, cut in enumerate(cuts):
        if cut != slice(None):
            ranges[axis] = cut.indices(array.shape[axis])
    return lax.slice(array, *zip(*ranges, strict=True))


def seen(images: jax.Array, rows: Overlap, columns: Overlap, stride: tuple[int, int]) -> jax.Array:
    """Returns the pixels that one tap multiplies."""
    ends = [o.start + (o.last - o.first - 1) * s + 1 for o, s in zip((rows, columns), stride, strict=True)]
    low, high = (0, rows.start, columns.start, 0), (images.shape[0], *ends, images.shape[3])
    return lax.slice(images, low, high, (1, *stride, 1))


def padded_copy(images: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the images with their padding, as one array: not one padded copy per tap."""
    return lax.optimization_barrier(padded(images, geometry.pads))


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
