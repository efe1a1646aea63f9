"""The transposed convolution as XLA has it, and the convolution that it is the transpose of."""

from typing import NamedTuple

import jax

from cnn_jax.ops.arguments import Pads, dilated
from cnn_jax.ops.windows import Geometry, Shape, stretched


class Stretch(NamedTuple):
    """How far apart pixels are set, (height, width), before a convolution of stride 1.

    Attributes:
        pads: of the stretched images; negative ones crop.
        dilation, groups: of the convolution.
    """

    stride: tuple[int, int]
    pads: Pads
    dilation: tuple[int, int]
    groups: int


def plain(images: jax.Array, kernel: jax.Array, how: Stretch) -> jax.Array:
    """Returns XLA's own transposed convolution; kernel: (height, width, out // groups, in)."""
    height, width, filters, channels = kernel.shape
    each = channels // how.groups
    per_group = kernel[::-1, ::-1].reshape(height, width, filters, how.groups, each)
    flipped = per_group.transpose(0, 1, 4, 3, 2).reshape(height, width, each, how.groups * filters)
    return stretched(images, flipped, how.pads, how.stride, how.dilation, how.groups)


def geometry(images: Shape, kernel: Shape, outputs: Shape, how: Stretch) -> Geometry:
    """Returns the convolution that is transposed: it makes arrays of `images`' shape of those of `outputs`'."""
    pads = []
    for axis in (0, 1):
        reach = dilated(kernel[axis], how.dilation[axis]) - 1
        before = reach - how.pads[axis][0]
        pads.append((before, (images[1 + axis] - 1) * how.stride[axis] + reach + 1 - outputs[1 + axis] - before))
    return Geometry(how.stride, (pads[0], pads[1]), how.dilation, how.groups)
