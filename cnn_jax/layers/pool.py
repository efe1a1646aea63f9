"""Pooling layers: named stages without parameters."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import ops


class MaxPool(nn.Module):
    """Maximum over windows of each channel.

    Takes images (batch, height, width, channels) of any dtype, returns the same with height and width as
    `ops.output_size(..., exact=False)` says. Of equal values the first takes the gradient.
    """

    window: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None  # None: the window, so that windows do not overlap
    padding: str | int | tuple = 'valid'
    activation: Callable[[jax.Array], jax.Array] | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        outputs = ops.max_pool(images, window=self.window, stride=self.stride, padding=self.padding)
        return outputs if self.activation is None else self.activation(outputs)


class AvgPool(nn.Module):
    """Mean over windows of each channel; shapes as `MaxPool`."""

    window: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None  # None: the window, so that windows do not overlap
    padding: str | int | tuple = 'valid'
    activation: Callable[[jax.Array], jax.Array] | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        outputs = ops.avg_pool(images, window=self.window, stride=self.stride, padding=self.padding)
        return outputs if self.activation is None else self.activation(outputs)


class AdaptiveAvgPool(nn.Module):
    """Mean over an even grid of windows, so that the result is always `size` x `size` (torch's adaptive pool).

    Takes (batch, height, width, channels) of any size; window i of n over N rows goes from floor(i N / n) to
    ceil((i + 1) N / n), so windows overlap where n does not divide N, and repeat where N is below n.
    """

    size: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        height, width = images.shape[1:3]
        if (height, width) == (self.size, self.size):
            return images
        rows, columns = (_window_means(size, self.size, images.dtype) for size in (height, width))
        precision = jax.lax.Precision.HIGHEST
        return jnp.einsum('yh,xw,bhwc->byxc', rows, columns, images, precision=precision)


def _window_means(size: int, windows: int, dtype: jnp.dtype) -> jax.Array:
    """(windows, size): row i is 1 / length over window i, 0 elsewhere."""
    means = np.zeros((windows, size))
    for i in range(windows):
        first, end = i * size // windows, -(-(i + 1) * size // windows)
        means[i, first:end] = 1 / (end - first)
    return jnp.asarray(means, dtype)
