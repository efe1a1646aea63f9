"""GoogLeNet, the first Inception network. Szegedy et al. 2014, arXiv:1409.4842."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.layers import (
    AdaptiveAvgPool,
    AvgPool,
    Dense,
    Dropout,
    LocalResponseNorm,
    MaxPool,
    conv_stage,
    initializers,
)
from cnn_jax.layers.variables import Initializer

# Table 1 of the paper: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
INCEPTION = {
    '3a': (64, 96, 128, 16, 32, 32),
    '3b': (128, 128, 192, 32, 96, 64),
    '4a': (192, 96, 208, 16, 48, 64),
    '4b': (160, 112, 224, 24, 64, 64),
    '4c': (128, 128, 256, 24, 64, 64),
    '4d': (112, 144, 288, 32, 64, 64),
    '4e': (256, 160, 320, 32, 128, 128),
    '5a': (256, 160, 320, 32, 128, 128),
    '5b': (384, 192, 384, 48, 128, 128),
}


class Inception(nn.Module):
    """Four branches side by side: 1x1; 3x3 and 5x5, each behind a 1x1; 3x3 max-pool before a 1x1.

    Takes (batch, height, width, channels), returns the same height and width with the filters of the four branches.
    """

    filters: tuple[int, ...]  # a row of INCEPTION
    largest_kernel: int = 5
    options: Any = None  # for conv_stage, a dict

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        one, three_reduce, three, five_reduce, five, projection = self.filters
        stage = partial(conv_stage, train=train, activation=nn.relu, **self.options)
        largest = self.largest_kernel
        pooled = MaxPool(3, stride=1, padding=1, name='pool')(x)
        branches = [
            stage(one, 1, name='conv1x1')(x),
            stage(three, 3, padding=1, name='conv3x3')(stage(three_reduce, 1, name='conv3x3_reduce')(x)),
            stage(five, largest, padding=largest // 2, name='conv5x5')(stage(five_reduce, 1, name='conv5x5_reduce')(x)),
            stage(projection, 1, name='pool_projection')(pooled),
        ]
        return jnp.concatenate(branches, axis=-1)


class AuxiliaryHead(nn.Module):
    """A small classifier on an inner stage, which adds gradient there in training: (batch, num_classes)."""

    num_classes: int
    adaptive: bool  # torchvision: adaptive pool to 4x4; the paper: 5x5 windows at stride 3, the same at 224 pixels
    width: float
    options: Any = None  # for conv_stage, a dict

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if not self.adaptive and min(x.shape[1:3]) < 5:
            raise ValueError(
                f'{self.name}: maps of {x.shape[1]}x{x.shape[2]}, its pool needs at least 5x5 (images of about 80 '
                'pixels); use larger images, aux_adaptive=True, or aux_heads=False'
            )
        x = (AdaptiveAvgPool(4, name='pool') if self.adaptive else AvgPool(5, stride=3, name='pool'))(x)  # 4x4
        filters, hidden = _scaled(128, self.width), _scaled(1024, self.width)
        x = conv_stage(filters, 1, train=train, activation=nn.relu, **self.options, name='conv')(x)  # 4x4x128
        x = x.reshape(x.shape[0], -1)  # 2,048
        dense = {key: self.options[key] for key in ('kernel_initializer', 'dtype')}
        x = Dense(hidden, activation=nn.relu, **dense, name='fc1')(x)  # 1,024
        x = Dropout(0.7, name='dropout')(x, train=train)
        return Dense(self.num_classes, **dense, name='fc2')(x)  # num_classes


class GoogLeNet(nn.Module):
    """Nine Inception modules between a convolutional stem and a global average pool; the defaults are the paper's.

    Takes standardised images (batch, height, width, channels) and returns logits (batch, num_classes). With
    `aux_heads`, in training, it returns (logits, aux1, aux2): train with `losses.with_auxiliary_heads`, weight 0.3.
    Counts are for 224x224x3 images and 1,000 classes, without the heads (paper: 3,188,840 + 3,190,888; with BatchNorm
    128 more each); MACs are multiply-adds of one image.

    | variant | parameters | MACs | top-1, top-5 on ImageNet, published, centre crop |
    |---|---|---|---|
    | `paper` | 6,998,552 | 1.583 G | 68.7, 88.9 % (Caffe); top-5 89.93 % (paper) |
    | `batch_norm` | 7,005,832 | 1.583 G | |
    | `torchvision` | 6,624,904 | 1.498 G | 69.78, 89.53 % |

    Differs from the paper: kernels start from He's initializer (the paper names none). `batch_norm` has no local
    response normalisation and no biases before BatchNorm. `torchvision` also has 3x3 kernels in the 5x5 branches
    (`conv5x5` keeps its name), a 2x2 window in pool4, epsilon 0.001, dropout 0.2. `transform_input` maps images that
    were standardised with ImageNet's statistics to (x - 0.5) / 0.5, which torchvision's weights expect.
    """

    num_classes: int = 1000
    modules: tuple[str, ...] = tuple(INCEPTION)  # those of INCEPTION to have, for smaller nets
    largest_kernel: int = 5
    batch_norm: str | None = None  # a mode of layers.BatchNorm; None: biases instead
    local_response_norm: bool = True
    pool4_window: int = 3
    aux_heads: bool = True
    aux_adaptive: bool = False
    dropout_rate: float = 0.4
    transform_input: bool = False
    kernel_initializer: Initializer = initializers.he_normal()
    width: float = 1.0  # multiplies the number of filters
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each Inception module in the backward pass

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Any:
        x = self._stem(undo_standardisation(images) if self.transform_input else images, train)  # 28x28x192
        inception = nn.remat(Inception, static_argnums=(2,)) if self.remat else Inception
        heads = []
        for previous, name in zip(('3', *self.modules), self.modules, strict=False):
            if name[0] != previous[0]:  # 14x14x480, 7x7x832
                pool = f'pool{previous[0]}'
                window = self.pool4_window if pool == 'pool4' else 3
                x = MaxPool(window, stride=2, ceil_mode=True, name=pool)(x)
            filters = tuple(_scaled(number, self.width) for number in INCEPTION[name])
            x = inception(filters, self.largest_kernel, self._options(), name=f'inception_{name}')(x, train)
            if name in ('4a', '4d') and self.aux_heads and (train or self.is_initializing()):
                heads.append(self._head(x, f'aux{len(heads) + 1}', train))
        x = ops.global_avg_pool(x)  # 1,024
        x = Dropout(self.dropout_rate, name='dropout')(x, train=train)
        initializer = self.kernel_initializer
        logits = Dense(self.num_classes, kernel_initializer=initializer, dtype=self.dtype, name='fc')(x)  # num_classes
        if self.dtype is not None:
            logits, *heads = (scores.astype(jnp.float32) for scores in (logits, *heads))
        return (logits, *heads) if train and self.aux_heads else logits

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        stage = partial(conv_stage, train=train, activation=nn.relu, **self._options())
        first, reduced, second = (_scaled(number, self.width) for number in (64, 64, 192))
        x = stage(first, 7, strides=2, padding=3, name='conv1')(x)  # 112x112x64
        x = MaxPool(3, stride=2, ceil_mode=True, name='pool1')(x)  # 56x56x64
        if self.local_response_norm:
            x = LocalResponseNorm(name='norm1')(x)
        x = stage(reduced, 1, name='conv2_reduce')(x)  # 56x56x64
        x = stage(second, 3, padding=1, name='conv2')(x)  # 56x56x192
        if self.local_response_norm:
            x = LocalResponseNorm(name='norm2')(x)
        return MaxPool(3, stride=2, ceil_mode=True, name='pool2')(x)  # 28x28x192

    def _head(self, x: jax.Array, name: str, train: bool) -> jax.Array:
        return AuxiliaryHead(self.num_classes, self.aux_adaptive, self.width, self._options(), name=name)(x, train)

    def _options(self) -> dict[str, Any]:
        options = {'batch_norm': self.batch_norm, 'kernel_initializer': self.kernel_initializer, 'dtype': self.dtype}
        return options if self.batch_norm is None else {**options, 'epsilon': 1e-3}


def undo_standardisation(images: jax.Array) -> jax.Array:
    """From (x - mean) / std with ImageNet's statistics to (x - 0.5) / 0.5."""
    mean, std = (jnp.asarray(values, images.dtype) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return images * (std / 0.5).reshape(1, 1, 1, 3) + ((mean - 0.5) / 0.5).reshape(1, 1, 1, 3)


def _scaled(number: int, width: float) -> int:
    return max(1, round(number * width))


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    'paper': GoogLeNet,
    'batch_norm': partial(GoogLeNet, batch_norm='global', local_response_norm=False),
    'torchvision': partial(
        GoogLeNet,
        largest_kernel=3,
        batch_norm='global',
        local_response_norm=False,
        pool4_window=2,
        aux_adaptive=True,
        dropout_rate=0.2,
    ),
}
