"""LeNet-5, VGG and ResNet as plain Linen has them: nn.Conv, nn.max_pool, nn.BatchNorm, and nothing of this project.

The twins of `cnn_jax.models` for benchmarks.models_cpu: modules are named alike, so that the same variables fit both.
"""

from typing import Any

import flax.linen as nn
import jax


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU where asked for."""

    filters: int
    size: int
    strides: int = 1
    relu: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        sizes, pad = (self.size, self.size), self.size // 2
        x = nn.Conv(self.filters, sizes, (self.strides,) * 2, padding=pad, use_bias=False, name='conv')(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name='norm')(x)
        return nn.relu(x) if self.relu else x


class LeNet(nn.Module):
    """Takes (batch, 28, 28, 1)."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = nn.relu(nn.Conv(6, (5, 5), padding=2, name='conv1')(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(16, (5, 5), padding='VALID', name='conv3')(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(120, (5, 5), padding='VALID', name='conv5')(x))
        x = nn.relu(nn.Dense(84, name='fc6')(x.reshape(len(x), -1)))
        return nn.Dense(self.num_classes, name='output')(x)


class VGG(nn.Module):
    """VGG-11, without dropout."""

    num_classes: int = 1000

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for stage, (layers, filters) in enumerate(zip((1, 1, 2, 2, 2), (64, 128, 256, 512, 512), strict=True), 1):
            for layer in range(1, layers + 1):
                x = nn.relu(nn.Conv(filters, (3, 3), padding=1, name=f'conv{stage}_{layer}')(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        for name in ('fc6', 'fc7'):
            x = nn.relu(nn.Dense(4096, name=name)(x))
        return nn.Dense(self.num_classes, name='fc8')(x)


class Block(nn.Module):
    """A residual block, a bottleneck (v1.5) or two 3x3 convolutions."""

    filters: int
    strides: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        wide = 4 * self.filters
        specs: list[tuple[int, int, int]] = [(self.filters, 3, self.strides), (self.filters, 3, 1)]
        if self.bottleneck:
            specs = [(self.filters, 1, 1), (self.filters, 3, self.strides), (wide, 1, 1)]
        y = x
        for number, (filters, size, strides) in enumerate(specs, 1):
            y = ConvNorm(filters, size, strides, relu=number < len(specs), name=f'conv{number}')(y, train)
        if x.shape != y.shape:
            x = ConvNorm(y.shape[-1], 1, self.strides, relu=False, name='shortcut')(x, train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """ResNet-18 and ResNet-50 v1.5."""

    depth: int
    num_classes: int = 1000

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = ConvNorm(64, 7, 2, name='conv1')(x, train)
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        for stage, blocks in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[self.depth], 1):
            for number in range(1, blocks + 1):
                strides = 2 if stage > 1 and number == 1 else 1
                block: Any = Block(64 * 2 ** (stage - 1), strides, self.depth == 50, name=f'stage{stage}_block{number}')
                x = block(x, train)
        return nn.Dense(self.num_classes, name='fc')(x.mean((1, 2)))
