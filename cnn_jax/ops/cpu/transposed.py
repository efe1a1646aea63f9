"""The transposed convolution as one matrix product and a few shifted sums."""

import jax
from jax import lax

from cnn_jax.ops.transposed import Stretch
from cnn_jax.ops.windows import padded, product, zero


def pays(how: Stretch) -> bool:
    """Returns whether `columns` is the fastest known form, and knows how: where windows begin apart."""
    return how.groups == 1 and how.dilation == (1, 1) and how.stride != (1, 1)


def columns(images: jax.Array, kernel: jax.Array, how: Stretch) -> jax.Array:
    """Returns the transposed convolution without dilation and groups.

    The product makes, for every pixel, the window of outputs that it adds to. Windows begin a stride apart, so each is
    cut into blocks of a stride: those with one offset lie side by side, and there are few offsets.
    """
    height, width, filters, channels = kernel.shape
    batch, rows, cols, _ = images.shape
    down, across = (-(-size // step) for size, step in zip((height, width), how.stride, strict=True))  # offsets
    made = product(images.reshape(-1, channels), kernel.reshape(-1, channels), (1, 1))
    made = made.reshape(batch, rows, cols, height, width, filters)
    none = (0, 0, 0)
    rest = ((0, down * how.stride[0] - height, 0), (0, across * how.stride[1] - width, 0))
    made = lax.pad(made, zero(made), (none, none, none, *rest, none))
    made = made.reshape(batch, rows, cols, down, how.stride[0], across, how.stride[1], filters)

    def moved(i: int, j: int) -> jax.Array:
        places = ((i, down - 1 - i, 0), (j, across - 1 - j, 0))
        return lax.pad(made[:, :, :, i, :, j], zero(made), (none, *places, none, none, none))

    whole = sum((moved(i, j) for i in range(down) for j in range(across) if i or j), moved(0, 0))
    sizes = (whole.shape[1] * how.stride[0], whole.shape[2] * how.stride[1])
    whole = whole.transpose(0, 1, 3, 2, 4, 5).reshape(batch, *sizes, filters)
    crops = [
        (before - reach, after - reach - (size - (length - 1) * step - reach - 1))
        for (before, after), reach, size, length, step in zip(
            how.pads, (height - 1, width - 1), sizes, (rows, cols), how.stride, strict=True
        )
    ]
    return padded(whole, (crops[0], crops[1])).astype(images.dtype)
