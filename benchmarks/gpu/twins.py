"""The nets of this benchmark as plain Flax has them: nn.Conv, nn.BatchNorm, nn.max_pool, and nothing of this project.

Modules are named as in `cnn_jax.models`, so that the same variables fit both.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
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
VGG16_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
# Filters, size, stride, padding, and whether a pool follows.
ALEXNET = (
    (64, 11, 4, 2, True),
    (192, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
    (256, 3, 1, 1, True),
)


def scaled(number: int, width: float, multiple: int = 1) -> int:
    return multiple * max(1, round(number * width / multiple))


def conv(filters: int, size: int, strides: int = 1, padding: int | None = None, **options: Any) -> nn.Conv:
    padding = size // 2 if padding is None else padding
    return nn.Conv(filters, (size, size), (strides, strides), padding=padding, **options)


def pool(x: jax.Array, size: int, strides: int, padding: tuple[int, int] = (0, 0)) -> jax.Array:
    pads: Any = (padding, padding)
    return nn.max_pool(x, (size, size), (strides, strides), pads)


def grid_means(x: jax.Array, size: int) -> jax.Array:
    """Means over size x size windows that cover the maps, torch's adaptive pool."""
    for axis in (1, 2):
        length = x.shape[axis]
        edges = [(i * length // size, -(-(i + 1) * length // size)) for i in range(size)]
        parts = [jax.lax.slice_in_dim(x, *edge, axis=axis).mean(axis, keepdims=True) for edge in edges]
        x = jnp.concatenate(parts, axis)
    return x


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU where asked for."""

    filters: int
    size: int
    strides: int = 1
    relu: bool = True
    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = conv(self.filters, self.size, self.strides, use_bias=False, dtype=self.dtype, name='conv')(x)
        options: dict[str, Any] = {'momentum': 0.9, 'epsilon': self.epsilon, 'dtype': self.dtype}
        x = nn.BatchNorm(use_running_average=not train, name='norm', **options)(x)
        return nn.relu(x) if self.relu else x


class Block(nn.Module):
    """A residual block, a bottleneck (v1.5) or two 3x3 convolutions."""

    filters: int
    strides: int
    bottleneck: bool
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        specs = [(self.filters, 3, self.strides), (self.filters, 3, 1)]
        if self.bottleneck:
            specs = [(self.filters, 1, 1), (self.filters, 3, self.strides), (4 * self.filters, 1, 1)]
        y = x
        for number, (filters, size, strides) in enumerate(specs, 1):
            relu = number < len(specs)
            y = ConvNorm(filters, size, strides, relu=relu, dtype=self.dtype, name=f'conv{number}')(y, train)
        if x.shape != y.shape:
            x = ConvNorm(y.shape[-1], 1, self.strides, relu=False, dtype=self.dtype, name='shortcut')(x, train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """ResNet-18 or -50 v1.5."""

    depth: int
    num_classes: int = 1000
    width: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        filters = scaled(64, self.width)
        x = ConvNorm(filters, 7, 2, dtype=self.dtype, name='conv1')(x, train)
        x = pool(x, 3, 2, (1, 1))
        for stage, blocks in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[self.depth], 1):
            for number in range(1, blocks + 1):
                strides = 2 if stage > 1 and number == 1 else 1
                name, wide = f'stage{stage}_block{number}', filters * 2 ** (stage - 1)
                x = Block(wide, strides, self.depth == 50, dtype=self.dtype, name=name)(x, train)
        return nn.Dense(self.num_classes, dtype=self.dtype, name='fc')(x.mean((1, 2)))


class VGG16(nn.Module):
    """Configuration D without batch norm, for images of any size."""

    num_classes: int = 1000
    width: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for stage, (layers, filters) in enumerate(VGG16_STAGES, 1):
            for layer in range(1, layers + 1):
                name = f'conv{stage}_{layer}'
                x = nn.relu(conv(scaled(filters, self.width), 3, dtype=self.dtype, name=name)(x))
            x = pool(x, 2, 2)
        x = x.reshape(len(x), -1)
        for number in (6, 7):
            x = nn.relu(nn.Dense(scaled(4096, self.width), dtype=self.dtype, name=f'fc{number}')(x))
            x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name='fc8')(x)


class AlexNet(nn.Module):
    """The form of "One weird trick", arXiv:1404.5997, without its adaptive pool, which 224 pixels do not need."""

    num_classes: int = 1000
    width: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for number, (filters, size, strides, padding, pooled) in enumerate(ALEXNET, 1):
            filters = scaled(filters, self.width, 2)
            x = nn.relu(conv(filters, size, strides, padding, dtype=self.dtype, name=f'conv{number}')(x))
            x = pool(x, 3, 2) if pooled else x
        x = x.reshape(len(x), -1)
        for number in (6, 7):
            x = nn.Dropout(0.5, deterministic=not train)(x)
            x = nn.relu(nn.Dense(scaled(4096, self.width, 2), dtype=self.dtype, name=f'fc{number}')(x))
        return nn.Dense(self.num_classes, dtype=self.dtype, name='fc8')(x)


class Inception(nn.Module):
    """Four branches side by side, as torchvision has them: 3x3 kernels in the branch of the paper's 5x5."""

    filters: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        def stage(filters: int, size: int, name: str, x: jax.Array) -> jax.Array:
            return ConvNorm(filters, size, epsilon=1e-3, dtype=self.dtype, name=name)(x, train)

        one, three_reduce, three, five_reduce, five, projection = self.filters
        pooled = pool(x, 3, 1, (1, 1))
        branches = [
            stage(one, 1, 'conv1x1', x),
            stage(three, 3, 'conv3x3', stage(three_reduce, 1, 'conv3x3_reduce', x)),
            stage(five, 3, 'conv5x5', stage(five_reduce, 1, 'conv5x5_reduce', x)),
            stage(projection, 1, 'pool_projection', pooled),
        ]
        return jnp.concatenate(branches, axis=-1)


class AuxiliaryHead(nn.Module):
    """A classifier on an inner stage."""

    num_classes: int
    width: float
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = grid_means(x, 4)
        x = ConvNorm(scaled(128, self.width), 1, epsilon=1e-3, dtype=self.dtype, name='conv')(x, train)
        x = nn.relu(nn.Dense(scaled(1024, self.width), dtype=self.dtype, name='fc1')(x.reshape(len(x), -1)))
        x = nn.Dropout(0.7, deterministic=not train)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name='fc2')(x)


class GoogLeNet(nn.Module):
    """torchvision's form, with batch norm; in training it returns the scores and those of the two heads."""

    num_classes: int = 1000
    width: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Any:
        stage = partial(ConvNorm, epsilon=1e-3, dtype=self.dtype)
        x = stage(scaled(64, self.width), 7, 2, name='conv1')(x, train)
        x = pool(x, 3, 2, (0, 1))
        x = stage(scaled(64, self.width), 1, name='conv2_reduce')(x, train)
        x = stage(scaled(192, self.width), 3, name='conv2')(x, train)
        x = pool(x, 3, 2, (0, 1))
        heads = []
        for name, filters in INCEPTION.items():
            if name == '4a':
                x = pool(x, 3, 2, (0, 1))
            elif name == '5a':
                x = pool(x, 2, 2)
            widths = tuple(scaled(number, self.width) for number in filters)
            x = Inception(widths, dtype=self.dtype, name=f'inception_{name}')(x, train)
            if name in ('4a', '4d') and (train or self.is_initializing()):
                head = AuxiliaryHead(self.num_classes, self.width, self.dtype, name=f'aux{len(heads) + 1}')
                heads.append(head(x, train))
        x = nn.Dropout(0.2, deterministic=not train)(x.mean((1, 2)))
        scores = nn.Dense(self.num_classes, dtype=self.dtype, name='fc')(x)
        return (scores, *heads) if train else scores


TWINS: dict[str, Callable[..., nn.Module]] = {
    'resnet50': partial(ResNet, 50),
    'resnet18': partial(ResNet, 18),
    'vgg16': VGG16,
    'alexnet': AlexNet,
    'googlenet': GoogLeNet,
}
