"""Pooling layers: named stages without parameters."""

import flax.linen as nn
import jax

from cnn_jax import ops
from cnn_jax.layers import arguments
from cnn_jax.layers.arguments import Activation


class MaxPool(nn.Module):
    """Maximum over windows of each channel.

    Takes images (batch, height, width, channels) of any dtype, returns the same with height and width as
    `ops.output_size(..., exact=False)` says. Of equal values the first takes the gradient.
    """

    window: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None  # None: the window, so that windows do not overlap
    padding: str | int | tuple = 'valid'
    ceil_mode: bool = False  # the last window may hang over the end, as in Caffe
    activation: Activation | str | None = None

    def __post_init__(self) -> None:
        arguments.resolve(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        outputs = ops.max_pool(
            images, window=self.window, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
        )
        return arguments.activate(self.activation, outputs)


class AvgPool(nn.Module):
    """Mean over windows of each channel; shapes as `MaxPool`."""

    window: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None  # None: the window, so that windows do not overlap
    padding: str | int | tuple = 'valid'
    ceil_mode: bool = False  # the last window may hang over the end, as in Caffe
    activation: Activation | str | None = None

    def __post_init__(self) -> None:
        arguments.resolve(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        outputs = ops.avg_pool(
            images, window=self.window, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
        )
        return arguments.activate(self.activation, outputs)


class AdaptiveAvgPool(nn.Module):
    """Mean over an even grid of windows, so that the result is always `size` x `size` (torch's adaptive pool).

    Takes (batch, height, width, channels) of any size; window i of n over N rows goes from floor(i N / n) to
    ceil((i + 1) N / n), so windows overlap where n does not divide N, and repeat where N is below n.
    """

    size: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return ops.adaptive_avg_pool(images, output_size=self.size)
