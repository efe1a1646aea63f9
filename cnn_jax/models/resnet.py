"""Residual networks, and their plain twins.

He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition", arXiv:1512.03385; pre-activation: the
same, 2016, arXiv:1603.05027; ResNeXt: Xie et al. 2016, arXiv:1611.05431; wide: Zagoruyko and Komodakis 2016,
arXiv:1605.07146.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.layers import BatchNorm, Conv2D, ConvNorm, Dense, Dropout, MaxPool, initializers
from cnn_jax.layers.variables import Initializer

# Depth on ImageNet: blocks in each of the four stages, and whether they are bottlenecks.
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 with `bottleneck`, beside a shortcut.

    Takes (batch, height, width, channels), returns (batch, height / strides, width / strides, filters), four times the
    filters with `bottleneck`. It ends after its ReLU; with `preactivation` it starts with one and ends in the addition.
    """

    filters: int
    bottleneck: bool
    strides: int
    shortcut: str
    stride_on_first: bool
    preactivation: bool
    groups: int
    inner_filters: int  # of the 3x3 convolution of a bottleneck
    zero_init_last: bool
    drop_rate: float  # share of the images for which the branch is left out in training
    batch_norm: str
    kernel_initializer: Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if self.preactivation:
            return self._preactivated(x, train)
        specs = self._convolutions()
        y = x
        for number, (filters, size, strides, groups) in enumerate(specs, 1):
            last = number == len(specs)
            scale = nn.initializers.zeros_init() if last and self.zero_init_last else nn.initializers.ones_init()
            y = ConvNorm(
                filters,
                size,
                strides=strides,
                padding=size // 2,
                groups=groups,
                activation=None if last else nn.relu,
                scale_initializer=scale,
                name=f'conv{number}',
                **self._options(),
            )(y, train=train)
        y = self._drop(y, train)
        if self.shortcut == 'none':
            return nn.relu(y)
        if self._projects(x, y):
            x = ConvNorm(y.shape[-1], 1, strides=self.strides, name='shortcut', **self._options())(x, train=train)
        return nn.relu(_match(x, y.shape[-1], self.strides) + y)

    def _preactivated(self, x: jax.Array, train: bool) -> jax.Array:
        options = {'kernel_initializer': self.kernel_initializer, 'dtype': self.dtype, 'use_bias': False}
        normalize = partial(BatchNorm, mode=self.batch_norm, activation=nn.relu)
        first = y = normalize(name='norm1')(x, train=train)
        for number, (filters, size, strides, groups) in enumerate(self._convolutions(), 1):
            if number > 1:
                y = normalize(name=f'norm{number}')(y, train=train)
            sizes = {'strides': strides, 'padding': size // 2, 'groups': groups}
            y = Conv2D(filters, size, name=f'conv{number}', **sizes, **options)(y)
        y = self._drop(y, train)
        if self.shortcut == 'none':
            return y
        if self._projects(x, y):  # it sees the normalised input, as in the paper's code
            x = Conv2D(y.shape[-1], 1, strides=self.strides, name='shortcut', **options)(first)
        return _match(x, y.shape[-1], self.strides) + y

    def _drop(self, y: jax.Array, train: bool) -> jax.Array:
        if not self.drop_rate:
            return y
        ones = jnp.ones((len(y), 1, 1, 1), y.dtype)
        return y * Dropout(self.drop_rate, name='drop')(ones, train=train)  # an image is dropped whole

    def _convolutions(self) -> list[tuple[int, int, int, int]]:
        """(filters, kernel size, strides, groups) of the convolutions of the block, in order."""
        if not self.bottleneck:
            return [(self.filters, 3, self.strides, 1), (self.filters, 3, 1, 1)]
        first, second = (self.strides, 1) if self.stride_on_first else (1, self.strides)
        inner = self.inner_filters
        return [(inner, 1, first, 1), (inner, 3, second, self.groups), (4 * self.filters, 1, 1, 1)]

    def _projects(self, x: jax.Array, y: jax.Array) -> bool:
        return self.shortcut == 'C' or (self.shortcut == 'B' and x.shape != y.shape)

    def _options(self) -> dict[str, Any]:
        return {'batch_norm': self.batch_norm, 'kernel_initializer': self.kernel_initializer, 'dtype': self.dtype}


def _match(x: jax.Array, channels: int, strides: int) -> jax.Array:
    """Option A, a shortcut without parameters: every `strides`-th pixel, zeros for the channels that are missing."""
    if x.shape[-1] == channels:  # the same shape, or projected to it
        return x
    return jnp.pad(x[:, ::strides, ::strides], ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))


class ResNet(nn.Module):
    """A stem, stages of residual blocks, a global average pool and a dense layer; the default is ResNet-50 v1.5.

    Takes standardised images (batch, height, width, channels), returns logits (batch, num_classes); with `maps`, as the
    trunk of another net, the output of each stage, the finest first, and no pool or dense layer. Counts are for
    224x224x3 images and 1,000 classes (`layout='cifar'`: 10); MACs are multiply-adds of one image; accuracy
    is torchvision's first weights, centre crop, and the paper's test error for CIFAR-10.

    | variant | parameters | MACs | top-1, top-5 |
    |---|---|---|---|
    | `resnet18` | 11,689,512 | 1.814 G | 69.76, 89.08 % |
    | `resnet34` | 21,797,672 | 3.664 G | 73.31, 91.42 % |
    | `resnet50` | 25,557,032 | 4.089 G | 76.13, 92.86 % |
    | `resnet101` | 44,549,160 | 7.801 G | 77.37, 93.55 % |
    | `resnet152` | 60,192,808 | 11.514 G | 78.31, 94.05 % |
    | `resnet50_v1` | 25,557,032 | 3.858 G | |
    | `resnet101_v1` | 44,549,160 | 7.570 G | |
    | `resnet152_v1` | 60,192,808 | 11.282 G | |
    | `resnet26` | 15,995,176 | 2.342 G | |
    | `resnext50_32x4d` | 25,028,904 | 4.230 G | 77.62, 93.70 % |
    | `resnext101_32x4d` | 44,177,704 | 7.970 G | |
    | `resnext101_32x8d` | 88,791,336 | 16.414 G | 79.31 % |
    | `resnext101_64x4d` | 83,455,272 | 15.460 G | 83.25 % (a later recipe) |
    | `wide_resnet50_2` | 68,883,240 | 11.398 G | 78.47, 94.09 % |
    | `wide_resnet101_2` | 126,886,696 | 22.753 G | 78.85 % |
    | `cifar20` at 32x32x3 | 269,722 | 0.041 G | error 8.75 % |
    | `cifar32` at 32x32x3 | 464,154 | 0.069 G | error 7.51 % |
    | `cifar44` at 32x32x3 | 658,586 | 0.097 G | error 7.17 % |
    | `cifar56` at 32x32x3 | 853,018 | 0.125 G | error 6.97 % |
    | `cifar110` at 32x32x3 | 1,727,962 | 0.253 G | error 6.43 % |

    Differs from the paper: v1.5 has a bottleneck's stride on the 3x3 convolution, `stride_on_first` (variants `_v1`) on
    the first 1x1, as published; the last layer starts from N(0, 0.01^2) (Goyal et al. 2017, arXiv:1706.02677); with
    `preactivation` the stem's convolution is not normalised, the first block doing that after the pool. Off unless
    asked for: `zero_init_last`, which starts each residual branch at zero (Goyal et al.).

    Raises:
        ValueError: for a depth, layout, stem or shortcut other than those below.
    """

    depth: int = 50
    stage_sizes: tuple[int, ...] | None = None  # blocks of each stage, in place of the depth's
    num_classes: int = 1000
    layout: Literal['imagenet', 'cifar'] = 'imagenet'  # cifar: three stages of 16, 32, 64 filters, depth 6 n + 2
    stem: Literal['imagenet', 'small', 'half'] = 'imagenet'  # small, as in layout cifar: 3x3, no pool; half: stride 2
    shortcut: Literal['A', 'B', 'C', 'none'] = 'B'  # A zero-padded, B projected where shapes change, C always projected
    stride_on_first: bool = False
    preactivation: bool = False
    groups: int = 1
    base_width: int = 64  # filters of the 3x3 convolution of a group in the first stage's bottlenecks
    zero_init_last: bool = False
    stochastic_depth: float = 0.0  # drop rate of the last block's branch, from 0 for the first: Huang 2016, 1603.09382
    batch_norm: str = 'global'  # a mode of layers.BatchNorm
    kernel_initializer: Initializer = initializers.variance_scaling(2.0, 'fan_in', 'normal')  # He et al. 2015
    width: float = 1.0  # multiplies the number of filters
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each block in the backward pass instead of storing what is inside
    maps: bool = False  # the stages' outputs in the place of logits

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Any:
        stage_sizes, bottleneck, filters = self._plan()
        x = self._stem(images, filters, train)  # 56x56x64
        block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        maps = []
        for stage, blocks in enumerate(stage_sizes, 1):
            for number in range(1, blocks + 1):
                strides = 2 if stage > 1 and number == 1 else 1
                options = self._block_options(filters * 2 ** (stage - 1), bottleneck, strides)
                place = (sum(stage_sizes[: stage - 1]) + number - 1) / max(1, sum(stage_sizes) - 1)  # 0 .. 1
                options['drop_rate'] = self.stochastic_depth * place
                x = block(**options, name=f'stage{stage}_block{number}')(x, train)  # 56, 28, 14, 7 pixels
            maps.append(x)
        if self.preactivation:
            x = maps[-1] = BatchNorm(mode=self.batch_norm, activation=nn.relu, name='norm')(x, train=train)
        if self.maps:
            return tuple(maps)
        x = ops.global_avg_pool(x)  # 2,048 (512 without bottlenecks)
        last = initializers.normal(0.01)
        logits = Dense(self.num_classes, kernel_initializer=last, dtype=self.dtype, name='fc')(x)  # num_classes
        return logits if self.dtype is None else logits.astype(jnp.float32)

    def _plan(self) -> tuple[tuple[int, ...], bool, int]:
        """Blocks of each stage, whether they are bottlenecks, and the filters of the first."""
        for option, allowed in (('layout', ('imagenet', 'cifar')), ('stem', ('imagenet', 'small', 'half'))):
            if getattr(self, option) not in allowed:
                raise ValueError(f'ResNet: {option}={getattr(self, option)!r} given; it is one of {allowed}')
        if self.shortcut not in ('A', 'B', 'C', 'none'):
            raise ValueError(f"ResNet: shortcut={self.shortcut!r} given; it is 'A', 'B', 'C' or 'none'")
        if self.layout == 'cifar':
            if self.depth < 8 or self.depth % 6 != 2:
                raise ValueError(
                    f'ResNet: depth={self.depth} given; in layout cifar it is 6 n + 2: 8, 14, 20, 32, 44 ...'
                )
            sizes, bottleneck, filters = ((self.depth - 2) // 6,) * 3, False, 16
        elif self.depth in DEPTHS:
            (sizes, bottleneck), filters = DEPTHS[self.depth], 64
        else:
            raise ValueError(f'ResNet: depth={self.depth} given; in layout imagenet it is one of {sorted(DEPTHS)}')
        return self.stage_sizes or sizes, bottleneck, max(1, round(filters * self.width))

    def _stem(self, images: jax.Array, filters: int, train: bool) -> jax.Array:
        small = self.layout == 'cifar' or self.stem != 'imagenet'
        size, strides = (3, 2 if self.stem == 'half' else 1) if small else (7, 2)
        options = {'strides': strides, 'padding': size // 2, 'kernel_initializer': self.kernel_initializer}
        options |= {'dtype': self.dtype, 'name': 'conv1'}
        if self.preactivation:
            x = Conv2D(filters, size, use_bias=False, **options)(images)  # 112x112x64
        else:
            x = ConvNorm(filters, size, batch_norm=self.batch_norm, activation=nn.relu, **options)(images, train=train)
        return x if small else MaxPool(3, stride=2, padding=1, name='pool1')(x)  # 56x56x64

    def _block_options(self, filters: int, bottleneck: bool, strides: int) -> dict[str, Any]:
        inner = max(1, filters * self.base_width // 64) * self.groups
        return {
            'filters': filters,
            'bottleneck': bottleneck,
            'strides': strides,
            'inner_filters': inner,
            **{name: getattr(self, name) for name in _HANDED_ON},
        }


_HANDED_ON = (
    'shortcut',
    'stride_on_first',
    'preactivation',
    'groups',
    'zero_init_last',
    'batch_norm',
    'kernel_initializer',
    'dtype',
)
VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'resnet{depth}': partial(ResNet, depth=depth) for depth in DEPTHS},
    **{f'resnet{depth}_v1': partial(ResNet, depth=depth, stride_on_first=True) for depth in (50, 101, 152)},
    **{f'resnet{depth}_v2': partial(ResNet, depth=depth, preactivation=True) for depth in (50, 101, 152)},
    'resnet34_A': partial(ResNet, depth=34, shortcut='A'),
    'resnet34_C': partial(ResNet, depth=34, shortcut='C'),
    **{f'plain{depth}': partial(ResNet, depth=depth, shortcut='none') for depth in (18, 34)},
    'resnet18_small': partial(ResNet, depth=18, stem='small', num_classes=10),
    'resnext50_32x4d': partial(ResNet, groups=32, base_width=4),
    'resnext101_32x4d': partial(ResNet, depth=101, groups=32, base_width=4),
    'resnext101_32x8d': partial(ResNet, depth=101, groups=32, base_width=8),
    'resnext101_64x4d': partial(ResNet, depth=101, groups=64, base_width=4),
    'wide_resnet50_2': partial(ResNet, base_width=128),
    'wide_resnet101_2': partial(ResNet, depth=101, base_width=128),
    'resnet26': partial(ResNet, stage_sizes=(2, 2, 2, 2)),  # of bottlenecks
    **{f'resnet{depth}_v2': partial(ResNet, depth=depth, preactivation=True) for depth in (18, 34)},
    **{
        f'cifar{depth}': partial(ResNet, depth=depth, layout='cifar', shortcut='A', num_classes=10)
        for depth in (20, 32, 44, 56, 110)
    },
}
