"""Later forms of ResNet: a deep stem with averaged shortcuts ("D"), squeeze-and-excitation, GroupNorm.

D: He, Zhang, Zhang, Zhang, Xie and Li 2018, "Bag of tricks for image classification with convolutional neural
networks", arXiv:1812.01187. SE: Hu, Shen, Albanie, Sun and Wu 2017, arXiv:1709.01507. GroupNorm: Wu and He 2018,
arXiv:1803.08494. The forms are timm's, so that its weights fit.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.layers import AvgPool, Conv2D, ConvNorm, Dense, MaxPool, initializers
from cnn_jax.layers.variables import Initializer
from cnn_jax.models.resnet import DEPTHS

NORM_GROUPS = 32  # of GroupNorm
SQUEEZED = 16  # the channels of an SE block are fewer by this factor, and a multiple of 8


class ConvGroupNorm(nn.Module):
    """A convolution without bias (child `conv`), GroupNorm of 32 groups (child `norm`), then the activation.

    Takes (batch, height, width, in_channels), returns (batch, height', width', filters). Nets that are narrower than
    32 channels have fewer groups.
    """

    filters: int
    kernel_size: int
    strides: int
    padding: int
    groups: int
    activation: Any
    scale_initializer: Initializer
    kernel_initializer: Initializer
    dtype: Any

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        sizes = {'strides': self.strides, 'padding': self.padding, 'groups': self.groups}
        options = {'use_bias': False, 'kernel_initializer': self.kernel_initializer, 'dtype': self.dtype}
        x = Conv2D(self.filters, self.kernel_size, name='conv', **sizes, **options)(images)
        x = nn.GroupNorm(
            math.gcd(NORM_GROUPS, self.filters),
            epsilon=1e-5,
            dtype=self.dtype,
            use_fast_variance=False,
            scale_init=self.scale_initializer,
            name='norm',
        )(x)
        return x if self.activation is None else self.activation(x)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number 0 .. 1 that two dense layers make of all channels' means; the shape stays."""

    kernel_initializer: Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        squeezed = max(8, int(channels / SQUEEZED + 4) // 8 * 8)
        options = {'kernel_initializer': self.kernel_initializer, 'dtype': self.dtype}
        means = jnp.mean(x, (1, 2), keepdims=True)
        y = Conv2D(squeezed, 1, activation=nn.relu, name='fc1', **options)(means)  # (batch, 1, 1, squeezed)
        return x * nn.sigmoid(Conv2D(channels, 1, name='fc2', **options)(y))


class LaterBlock(nn.Module):
    """A residual block as `resnet.Block`, its shortcut a 1x1 convolution where the shape changes."""

    filters: int
    bottleneck: bool
    strides: int
    groups: int
    inner_filters: int
    average_shortcut: bool
    squeeze: bool
    zero_init_last: bool
    stage: Callable[..., Any]  # (filters, kernel size, strides=, groups=, activation=, name=, ...) -> module
    kernel_initializer: Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        specs = [(self.filters, 3, self.strides, 1), (self.filters, 3, 1, 1)]
        if self.bottleneck:
            inner = self.inner_filters
            specs = [(inner, 1, 1, 1), (inner, 3, self.strides, self.groups), (4 * self.filters, 1, 1, 1)]
        y = x
        for number, (filters, size, strides, groups) in enumerate(specs, 1):
            last = number == len(specs)
            zero = last and self.zero_init_last
            options = {'strides': strides, 'padding': size // 2, 'groups': groups, 'name': f'conv{number}'}
            scale = nn.initializers.zeros_init() if zero else nn.initializers.ones_init()
            activation = None if last else nn.relu
            y = self.stage(filters, size, activation=activation, scale_initializer=scale, **options)(y, train=train)
        if self.squeeze:
            y = SqueezeExcitation(self.kernel_initializer, self.dtype, name='se')(y)
        if x.shape != y.shape:
            x = self._project(x, y.shape[-1], train)
        return nn.relu(x + y)

    def _project(self, x: jax.Array, filters: int, train: bool) -> jax.Array:
        strides = self.strides
        if self.average_shortcut and strides > 1:  # so that no pixel is skipped
            x, strides = AvgPool(2, stride=strides, ceil_mode=True, name='shortcut_pool')(x), 1
        ones = nn.initializers.ones_init()
        options = {'strides': strides, 'padding': 0, 'groups': 1, 'activation': None, 'scale_initializer': ones}
        return self.stage(filters, 1, name='shortcut', **options)(x, train=train)


class LaterResNet(nn.Module):
    """A stem, stages of residual blocks, a global average pool and a dense layer; the default is ResNet-50-D.

    Takes standardised images (batch, height, width, channels), returns logits (batch, num_classes). Counts are for
    224x224x3 images and 1,000 classes; MACs are multiply-adds of one image, of convolutions and dense layers. The
    accuracy of published weights depends on their recipe far more than on the form: see timm's own table.

    | variant | parameters | MACs |
    |---|---|---|
    | `resnet18d` | 11,708,744 | 2.054 G |
    | `resnet26d` | 16,014,408 | 2.582 G |
    | `resnet34d` | 21,816,904 | 3.903 G |
    | `resnet50d` | 25,576,264 | 4.329 G |
    | `resnet101d` | 44,568,392 | 8.041 G |
    | `resnet152d` | 60,212,040 | 11.753 G |
    | `seresnet18` | 11,779,624 | 1.814 G |
    | `seresnet34` | 21,960,416 | 3.664 G |
    | `seresnet50` | 28,088,024 | 4.092 G |
    | `seresnet101` | 49,326,872 | 7.806 G |
    | `seresnext50_32x4d` | 27,559,896 | 4.233 G |
    | `seresnext101_32x4d` | 48,955,416 | 7.975 G |
    | `seresnext101_32x8d` | 93,569,048 | 16.419 G |
    | `resnet50_gn` | 25,557,032 | 4.089 G |

    Differs from the papers: SE squeezes to a multiple of 8 channels, as timm; a bottleneck's stride is on its 3x3
    convolution (v1.5).

    Raises:
        ValueError: for a depth or norm other than those below.
    """

    depth: int = 50  # of `resnet.DEPTHS`
    stage_sizes: tuple[int, ...] | None = None  # blocks of each stage, in place of the depth's
    num_classes: int = 1000
    deep_stem: bool = True  # three 3x3 convolutions of 32, 32 and 64 filters in the place of a 7x7
    average_shortcut: bool = True  # 2x2 average pool before the 1x1 of a shortcut with a stride
    squeeze: bool = False  # squeeze-and-excitation at the end of each branch
    norm: Literal['batch', 'group'] = 'batch'
    groups: int = 1
    base_width: int = 64
    zero_init_last: bool = False
    batch_norm: str = 'global'  # a mode of layers.BatchNorm
    kernel_initializer: Initializer = initializers.variance_scaling(2.0, 'fan_in', 'normal')  # He et al. 2015
    width: float = 1.0  # multiplies the number of filters
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each block in the backward pass instead of storing what is inside

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        if self.depth not in DEPTHS:
            raise ValueError(f'LaterResNet: depth={self.depth} given; it is one of {sorted(DEPTHS)}')
        if self.norm not in ('batch', 'group'):
            raise ValueError(f"LaterResNet: norm={self.norm!r} given; it is 'batch' or 'group'")
        sizes, bottleneck = DEPTHS[self.depth]
        filters = max(1, round(64 * self.width))
        x = self._stem(images, filters, train)  # 56x56x64
        block = nn.remat(LaterBlock, static_argnums=(2,)) if self.remat else LaterBlock
        for stage, blocks in enumerate(self.stage_sizes or sizes, 1):
            for number in range(1, blocks + 1):
                strides = 2 if stage > 1 and number == 1 else 1
                options = self._block_options(filters * 2 ** (stage - 1), bottleneck, strides)
                x = block(**options, name=f'stage{stage}_block{number}')(x, train)  # 56, 28, 14, 7 pixels
        x = ops.global_avg_pool(x)  # 2,048 (512 without bottlenecks)
        last = initializers.normal(0.01)
        logits = Dense(self.num_classes, kernel_initializer=last, dtype=self.dtype, name='fc')(x)  # num_classes
        return logits if self.dtype is None else logits.astype(jnp.float32)

    def _stem(self, x: jax.Array, filters: int, train: bool) -> jax.Array:
        plan = [(filters, 7, 2, 'conv1')]
        if self.deep_stem:
            half = max(1, filters // 2)
            plan = [(half, 3, 2, 'conv1_1'), (half, 3, 1, 'conv1_2'), (filters, 3, 1, 'conv1_3')]
        for number, size, strides, name in plan:
            options = {'strides': strides, 'padding': size // 2, 'groups': 1, 'activation': nn.relu, 'name': name}
            x = self._make_stage()(number, size, scale_initializer=nn.initializers.ones_init(), **options)(
                x, train=train
            )
        return MaxPool(3, stride=2, padding=1, name='pool1')(x)

    def _make_stage(self) -> Callable[..., Any]:
        """What makes a convolution with its normalisation."""
        kind = ConvGroupNorm if self.norm == 'group' else partial(ConvNorm, batch_norm=self.batch_norm)
        return partial(kind, kernel_initializer=self.kernel_initializer, dtype=self.dtype)

    def _block_options(self, filters: int, bottleneck: bool, strides: int) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in _HANDED_ON}
        inner = max(1, filters * self.base_width // 64) * self.groups
        options = {'filters': filters, 'bottleneck': bottleneck, 'strides': strides, 'inner_filters': inner}
        return {**options, 'stage': self._make_stage(), **own}


_HANDED_ON = ('groups', 'average_shortcut', 'squeeze', 'zero_init_last', 'kernel_initializer', 'dtype')
_PLAIN = partial(LaterResNet, deep_stem=False, average_shortcut=False)

VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'resnet{depth}d': partial(LaterResNet, depth=depth) for depth in DEPTHS},
    'resnet26d': partial(LaterResNet, stage_sizes=(2, 2, 2, 2)),  # of bottlenecks
    **{f'seresnet{depth}': partial(_PLAIN, depth=depth, squeeze=True) for depth in (18, 34, 50, 101)},
    **{
        f'seresnext{depth}_32x{width}d': partial(_PLAIN, depth=depth, squeeze=True, groups=32, base_width=width)
        for depth, width in ((50, 4), (101, 4), (101, 8))
    },
    'resnet50_gn': partial(_PLAIN, norm='group'),
}
