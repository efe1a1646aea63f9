"""Network in network: 1x1 convolutions after the others, and no dense layer. Lin et al. 2013, arXiv:1312.4400."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.layers import AvgPool, Conv2D, Dropout, MaxPool, initializers


class NetworkInNetwork(nn.Module):
    """The net for CIFAR-10: 966,986 parameters and 222,486,528 multiply-adds on 32x32x3 images, 10 classes.

    Takes standardised images (batch, height, width, channels), returns logits (batch, num_classes). The paper reports
    10.41 % error on CIFAR-10 without augmentation, and 8.81 % with shifts and flips.

    Differs from the paper: filters are those of the authors' published settings, which the text does not give; He's
    initializer. As there, the last convolution ends in a ReLU.
    """

    num_classes: int = 10
    dropout_rate: float = 0.5
    width: float = 1.0  # multiplies the number of filters
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each block in the backward pass instead of storing what is inside

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        block = nn.remat(NetworkInNetwork._block, static_argnums=(2, 3, 4)) if self.remat else NetworkInNetwork._block
        x = block(self, images, 1, 5, (192, 160, 96))  # 32x32x96
        x = MaxPool(3, stride=2, padding=1, name='pool1')(x)  # 16x16x96
        x = Dropout(self.dropout_rate, name='dropout1')(x, train=train)
        x = block(self, x, 2, 5, (192, 192, 192))  # 16x16x192
        x = AvgPool(3, stride=2, padding=1, name='pool2')(x)  # 8x8x192
        x = Dropout(self.dropout_rate, name='dropout2')(x, train=train)
        x = block(self, x, 3, 3, (192, 192))  # 8x8x192
        x = self._conv(self.num_classes, 1, 'cccp3_2')(x)  # 8x8, a map for each class
        logits = ops.global_avg_pool(x)  # num_classes
        return logits if self.dtype is None else logits.astype(jnp.float32)

    def _block(self, x: jax.Array, number: int, kernel_size: int, filters: tuple[int, ...]) -> jax.Array:
        for layer, count in enumerate(filters):
            name = f'cccp{number}_{layer}' if layer else f'conv{number}'
            x = self._conv(max(1, round(count * self.width)), 1 if layer else kernel_size, name)(x)
        return x

    def _conv(self, filters: int, kernel_size: int, name: str) -> Conv2D:
        initializer = initializers.variance_scaling(2.0, 'fan_in', 'truncated_normal')
        return Conv2D(
            filters,
            kernel_size,
            padding=kernel_size // 2,
            activation=nn.relu,
            kernel_initializer=initializer,
            dtype=self.dtype,
            name=name,
        )


VARIANTS: dict[str, Callable[..., nn.Module]] = {'cifar10': NetworkInNetwork}
