"""Convolution, batch normalisation and activation as one named stage."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax

from cnn_jax.layers import arguments, initializers
from cnn_jax.layers.arguments import Activation
from cnn_jax.layers.conv import Conv2D
from cnn_jax.layers.norm import BatchNorm
from cnn_jax.layers.variables import Initializer


class ConvNorm(nn.Module):
    """`Conv2D` (child `conv`), `BatchNorm` (child `norm`), then the activation.

    Takes images (batch, height, width, in_channels), returns (batch, height', width', filters). The arguments are those
    of the two layers; `batch_norm` is the mode of `BatchNorm`. The convolution has no bias unless asked for: the
    normalisation takes it out again.
    """

    filters: int
    kernel_size: int | tuple[int, int]
    strides: int | tuple[int, int] = 1
    padding: str | int | tuple = 'valid'
    groups: int = 1
    activation: Activation | str | None = None
    use_bias: bool = False
    batch_norm: str = 'global'
    epsilon: float = 1e-5
    kernel_initializer: Initializer | str | None = initializers.lecun_normal()
    scale_initializer: Initializer = nn.initializers.ones_init()
    dtype: jax.typing.DTypeLike | None = None

    def __post_init__(self) -> None:
        arguments.resolve(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x = Conv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            groups=self.groups,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype,
            name='conv',
        )(images)  # (batch, height', width', filters)
        return BatchNorm(
            mode=self.batch_norm,
            epsilon=self.epsilon,
            activation=self.activation,
            scale_initializer=self.scale_initializer,
            name='norm',
        )(x, train=train)


def conv_stage(
    filters: int, kernel_size: int, *, batch_norm: str | None, train: bool, **options: Any
) -> Callable[[jax.Array], jax.Array]:
    """A convolution with or without normalisation, for models that come in both forms.

    `batch_norm=None` gives a `Conv2D`, a mode of `BatchNorm` a `ConvNorm`; `options` are fields of both. Call the
    result inside a compact method, with images.
    """
    if batch_norm is None:
        return Conv2D(filters, kernel_size, **options)
    return partial(ConvNorm(filters, kernel_size, batch_norm=batch_norm, **options), train=train)
