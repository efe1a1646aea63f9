"""The transposed convolution layer."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from cnn_jax import ops
from cnn_jax.layers import arguments, initializers
from cnn_jax.layers.arguments import Activation
from cnn_jax.layers.variables import Initializer, make_weight
from cnn_jax.ops.arguments import read_pair


class Conv2DTranspose(nn.Module):
    """The transpose of a convolution, which makes maps larger, bias, then the activation.

    Takes images (batch, height, width, in_channels), returns (batch, height', width', filters), the sizes those of
    `ops.conv2d_transpose`; 'same' gives height * strides. The kernel is (height, width, filters, in_channels).
    """

    filters: int
    kernel_size: int | tuple[int, int]
    strides: int | tuple[int, int] = 1
    padding: str | int | tuple = 'valid'
    activation: Activation | str | None = None
    use_bias: bool = True
    kernel_initializer: Initializer | str | None = initializers.variance_scaling(1.0, 'fan_out', 'normal')  # in is last
    dtype: jax.typing.DTypeLike | None = None

    def __post_init__(self) -> None:
        arguments.resolve(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        size = read_pair(f'{self.name or "Conv2DTranspose"}: kernel_size', self.kernel_size)
        shape = (*size, self.filters, images.shape[-1])
        kernel = make_weight(self, 'kernel', self.kernel_initializer, shape)
        images, kernel = promote_dtype(images, kernel, dtype=self.dtype)
        outputs = ops.conv2d_transpose(images, kernel, stride=self.strides, padding=self.padding)
        if self.use_bias:
            bias = make_weight(self, 'bias', nn.initializers.zeros_init(), (self.filters,))
            outputs = outputs + jnp.asarray(bias, outputs.dtype)[None, None, None, :]
        return arguments.activate(self.activation, outputs)
