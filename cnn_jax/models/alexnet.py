"""AlexNet in four forms, which differ in their fields.

`2012`: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012.
`single_tower`: the same widths in one tower, as the CS231n lecture (lecture 9, 2017) lists it.
`one_weird_trick`: Krizhevsky 2014, arXiv:1404.5997, as torchvision has it.
`zfnet`: Zeiler and Fergus 2013, arXiv:1311.2901.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import AdaptiveAvgPool, Conv2D, Dense, Dropout, LocalResponseNorm, MaxPool, initializers
from cnn_jax.layers.variables import Initializer

POOLED = {1: 'pool1', 2: 'pool2', 5: 'pool5'}  # the convolutions that a pool follows


class AlexNet(nn.Module):
    """Five convolutions and three dense layers; the defaults are the two-tower net of 2012.

    Takes standardised images (batch, height, width, channels), returns logits (batch, num_classes). The size of fc6
    follows the images unless `head_size` fixes it. Counts are for 1,000 classes; MACs are multiply-adds of one image.

    | variant | parameters | MACs | top-1, top-5 on ImageNet, published |
    |---|---|---|---|
    | `2012` at 227x227x3 | 60,965,224 | 0.724 G | 59.3, 81.8 % (paper, one net, ten crops) |
    | `single_tower` at 227x227x3 | 62,378,344 | 1.135 G | |
    | `one_weird_trick` at 224x224x3 | 61,100,840 | 0.714 G | 56.52, 79.07 % (torchvision, one crop) |
    | `zfnet` at 224x224x3 | 62,357,608 | 1.168 G | 61.6, 83.5 % (paper, one net, ten crops) |

    Differs from the papers: the two towers of 2012 are groups of a convolution; its input is 227 pixels, which its own
    arithmetic needs (the text says 224). `single_tower` normalises after the pool, as the lecture and Caffe do.
    `one_weird_trick` has dropout before fc6 and fc7 and no normalisation. ZFNet's contrast normalisation across maps is
    local response normalisation here, and its pools are padded by 1 to give the sizes of its Figure 3.
    """

    num_classes: int = 1000
    filters: tuple[int, ...] = (96, 256, 384, 384, 256)
    kernel_sizes: tuple[int, ...] = (11, 5, 3, 3, 3)
    strides: tuple[int, ...] = (4, 1, 1, 1, 1)
    paddings: tuple[int, ...] = (0, 2, 1, 1, 1)
    groups: tuple[int, ...] = (1, 2, 1, 2, 2)
    initial_biases: tuple[float, ...] = (0, 1, 0, 1, 1, 1, 1, 0)  # of the eight layers
    norm: Literal['before_pool', 'after_pool', 'none'] = 'before_pool'
    pool_paddings: tuple[int, ...] = (0, 0, 0)  # of pool1, pool2, pool5
    hidden_units: int = 4096
    dropout_rate: float = 0.5
    dropout_first: bool = False  # before fc6 and fc7 instead of after
    head_size: int | None = None  # adaptive average pool to this size before fc6; None: none
    kernel_initializer: Initializer = initializers.normal(0.01)
    width: float = 1.0  # multiplies the number of filters and of hidden units
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each stage in the backward pass instead of storing what is inside

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        if self.norm not in ('before_pool', 'after_pool', 'none'):
            raise ValueError(f"AlexNet: norm={self.norm!r} given; it is 'before_pool', 'after_pool' or 'none'")
        stage = nn.remat(AlexNet._stage, static_argnums=(2,)) if self.remat else AlexNet._stage
        x = images
        for number in range(1, 6):
            x = stage(self, x, number)  # 27x27x96, 13x13x256, 13x13x384, 13x13x384, 6x6x256
        if self.head_size is not None:
            x = AdaptiveAvgPool(self.head_size, name='pool6')(x)
        x = x.reshape(x.shape[0], -1)  # 9,216, rows before columns before channels
        for number in (6, 7):
            dropout = Dropout(self.dropout_rate, name=f'dropout{number}')
            if self.dropout_first:
                x = dropout(x, train=train)
            x = self._dense(_scaled(self.hidden_units, self.width), number, nn.relu)(x)  # 4,096
            if not self.dropout_first:
                x = dropout(x, train=train)
        logits = self._dense(self.num_classes, 8, None)(x)  # num_classes
        return logits if self.dtype is None else logits.astype(jnp.float32)

    def _stage(self, x: jax.Array, number: int) -> jax.Array:
        """Convolution `number`, with the normalisation and the pool that follow it."""
        index = number - 1
        x = Conv2D(
            _scaled(self.filters[index], self.width),
            self.kernel_sizes[index],
            strides=self.strides[index],
            padding=self.paddings[index],
            groups=self.groups[index],
            activation=nn.relu,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=nn.initializers.constant(self.initial_biases[index]),
            dtype=self.dtype,
            name=f'conv{number}',
        )(x)
        if number not in POOLED:
            return x
        normalized = number < 5 and self.norm != 'none'
        if normalized and self.norm == 'before_pool':
            x = LocalResponseNorm(name=f'norm{number}')(x)
        padding = self.pool_paddings[list(POOLED).index(number)]
        x = MaxPool(3, stride=2, padding=padding, name=POOLED[number])(x)  # overlapping windows
        if normalized and self.norm == 'after_pool':
            x = LocalResponseNorm(name=f'norm{number}')(x)
        return x

    def _dense(self, features: int, number: int, activation: Callable[[jax.Array], jax.Array] | None) -> Dense:
        return Dense(
            features,
            activation=activation,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=nn.initializers.constant(self.initial_biases[number - 1]),
            dtype=self.dtype,
            name=f'fc{number}',
        )


def _scaled(number: int, width: float) -> int:
    """An even number, so that two groups divide it."""
    return 2 * max(1, round(number * width / 2))


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    '2012': AlexNet,
    'single_tower': partial(AlexNet, groups=(1,) * 5, norm='after_pool'),
    'one_weird_trick': partial(
        AlexNet,
        filters=(64, 192, 384, 256, 256),
        paddings=(2, 2, 1, 1, 1),
        groups=(1,) * 5,
        initial_biases=(0,) * 8,
        norm='none',
        dropout_first=True,
        head_size=6,
        kernel_initializer=initializers.variance_scaling(1 / 3, 'fan_in', 'uniform'),  # torch's default
    ),
    'zfnet': partial(
        AlexNet,
        kernel_sizes=(7, 5, 3, 3, 3),
        strides=(2, 2, 1, 1, 1),
        paddings=(1, 0, 1, 1, 1),
        groups=(1,) * 5,
        initial_biases=(0,) * 8,
        norm='after_pool',
        pool_paddings=(1, 1, 0),
    ),
}
