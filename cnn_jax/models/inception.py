"""Inception v3: factorised convolutions. Szegedy et al. 2015, arXiv:1512.00567."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.layers import AvgPool, ConvNorm, Dense, Dropout, MaxPool, initializers
from cnn_jax.layers.variables import Initializer
from cnn_jax.models.googlenet import undo_standardisation

Convolution = tuple[str, int, tuple[int, int], int, bool]  # name, filters, kernel, strides, padded
Branch = Sequence[Convolution | list[Convolution]]  # one after the other; a list stands side by side


def _conv(name: str, filters: int, high: int, wide: int | None = None, strides: int = 1) -> Convolution:
    return name, filters, (high, wide or high), strides, strides == 1


def _module_a(pool: int) -> list[Branch]:
    """35x35: 5x5 and two 3x3."""
    return [
        [_conv('branch1x1', 64, 1)],
        [_conv('branch5x5_1', 48, 1), _conv('branch5x5_2', 64, 5)],
        [_conv('branch3x3dbl_1', 64, 1), _conv('branch3x3dbl_2', 96, 3), _conv('branch3x3dbl_3', 96, 3)],
        [_conv('branch_pool', pool, 1)],
    ]


def _module_b() -> list[Branch]:
    """35x35 to 17x17."""
    double = [_conv('branch3x3dbl_1', 64, 1), _conv('branch3x3dbl_2', 96, 3), _conv('branch3x3dbl_3', 96, 3, strides=2)]
    return [[_conv('branch3x3', 384, 3, strides=2)], double, []]


def _module_c(inner: int) -> list[Branch]:
    """17x17: 7x7 as 1x7 and 7x1."""
    return [
        [_conv('branch1x1', 192, 1)],
        [_conv('branch7x7_1', inner, 1), _conv('branch7x7_2', inner, 1, 7), _conv('branch7x7_3', 192, 7, 1)],
        [
            *(_conv('branch7x7dbl_1', inner, 1), _conv('branch7x7dbl_2', inner, 7, 1)),
            *(_conv('branch7x7dbl_3', inner, 1, 7), _conv('branch7x7dbl_4', inner, 7, 1)),
            _conv('branch7x7dbl_5', 192, 1, 7),
        ],
        [_conv('branch_pool', 192, 1)],
    ]


def _module_d() -> list[Branch]:
    """17x17 to 8x8."""
    seven = [_conv('branch7x7x3_1', 192, 1), _conv('branch7x7x3_2', 192, 1, 7), _conv('branch7x7x3_3', 192, 7, 1)]
    return [
        [_conv('branch3x3_1', 192, 1), _conv('branch3x3_2', 320, 3, strides=2)],
        [*seven, _conv('branch7x7x3_4', 192, 3, strides=2)],
        [],
    ]


def _module_e() -> list[Branch]:
    """8x8: 3x3 as 1x3 beside 3x1."""
    double = [_conv('branch3x3dbl_1', 448, 1), _conv('branch3x3dbl_2', 384, 3)]
    return [
        [_conv('branch1x1', 320, 1)],
        [_conv('branch3x3_1', 384, 1), [_conv('branch3x3_2a', 384, 1, 3), _conv('branch3x3_2b', 384, 3, 1)]],
        [*double, [_conv('branch3x3dbl_3a', 384, 1, 3), _conv('branch3x3dbl_3b', 384, 3, 1)]],
        [_conv('branch_pool', 192, 1)],
    ]


STEM = (
    *(_conv('conv2d_1a_3x3', 32, 3, strides=2), ('conv2d_2a_3x3', 32, (3, 3), 1, False), _conv('conv2d_2b_3x3', 64, 3)),
    *(None, _conv('conv2d_3b_1x1', 80, 1), ('conv2d_4a_3x3', 192, (3, 3), 1, False), None),  # None: 3x3 max-pool
)
MODULES: dict[str, list[Branch]] = {
    **{f'mixed_5{letter}': _module_a(pool) for letter, pool in (('b', 32), ('c', 64), ('d', 64))},
    'mixed_6a': _module_b(),
    **{f'mixed_6{letter}': _module_c(inner) for letter, inner in (('b', 128), ('c', 160), ('d', 160), ('e', 192))},
    'mixed_7a': _module_d(),
    **{f'mixed_7{letter}': _module_e() for letter in 'bc'},
}
HEAD_AFTER = 'mixed_6e'


class InceptionModule(nn.Module):
    """Branches side by side; one without convolutions is a 3x3 max-pool at stride 2, `branch_pool` sees a 3x3 mean.

    Takes (batch, height, width, channels), returns the branches' filters, at half the size where they have strides.
    """

    module: str  # of MODULES
    width: float
    options: Any  # for ConvNorm, a dict

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        outputs = []
        for branch in MODULES[self.module]:
            y = x
            if not branch:
                y = MaxPool(3, stride=2, name='pool')(x)
            elif branch[0][0] == 'branch_pool':
                y = AvgPool(3, stride=1, padding=1, name='pool')(x)  # padding counts, as in torch
            for step in branch:
                beside = step if isinstance(step, list) else [step]
                made = [_stage(convolution, self.width, self.options)(y, train=train) for convolution in beside]
                y = made[0] if len(made) == 1 else jnp.concatenate(made, -1)
            outputs.append(y)
        return jnp.concatenate(outputs, -1)


def _stage(convolution: Convolution, width: float, options: Any) -> ConvNorm:
    name, filters, kernel, strides, padded = convolution
    padding = tuple((size // 2, size // 2) if padded else (0, 0) for size in kernel)
    sizes = {'strides': strides, 'padding': padding, 'activation': nn.relu, 'epsilon': 1e-3}
    return ConvNorm(max(1, round(filters * width)), kernel, name=name, **sizes, **options)


class InceptionV3(nn.Module):
    """A convolutional stem, eleven Inception modules, a global average pool and a dense layer.

    Takes standardised images (batch, height, width, channels), 299 pixels in the paper and at least 75, and returns
    logits (batch, num_classes). With `aux_head`, in training, it returns (logits, aux), of images of 299 pixels or
    more: train with `losses.with_auxiliary_heads`. Counts are for 299x299x3 images and 1,000 classes, without the head
    (3,326,696 more); MACs are multiply-adds of one image.

    | variant | parameters | MACs | top-1, top-5 on ImageNet, published, centre crop |
    |---|---|---|---|
    | `inception_v3` | 23,834,568 | 5.713 G | 77.29, 93.45 % (torchvision), 78.8, 94.4 % (paper) |

    Differs from the paper: the modules and the epsilon of 0.001 are those of torchvision and timm, which share the
    original's released weights. `transform_input` maps images that were standardised with ImageNet's statistics to
    (x - 0.5) / 0.5, which torchvision's weights expect; timm's expect images standardised so.
    """

    num_classes: int = 1000
    modules: tuple[str, ...] = tuple(MODULES)  # those of MODULES to have, for smaller nets
    aux_head: bool = False
    dropout_rate: float = 0.5  # the paper's is 0.2
    transform_input: bool = False
    batch_norm: str = 'global'  # a mode of layers.BatchNorm
    kernel_initializer: Initializer = initializers.he_normal()
    width: float = 1.0  # multiplies the number of filters
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each Inception module in the backward pass

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Any:
        x = undo_standardisation(images) if self.transform_input else images
        pools = 0
        for step in STEM:  # 35x35x192
            if step is None:
                pools += 1
                x = MaxPool(3, stride=2, name=f'pool{pools}')(x)
            else:
                x = _stage(step, self.width, self._options())(x, train=train)
        module = nn.remat(InceptionModule, static_argnums=(2,)) if self.remat else InceptionModule
        heads = []
        for name in self.modules:  # 17x17x768 from mixed_6a, 8x8x2048 in the end
            x = module(name, self.width, self._options(), name=name)(x, train)
            if name == HEAD_AFTER and self.aux_head and (train or self.is_initializing()):
                heads.append(self._head(x, train))
        x = ops.global_avg_pool(x)  # 2,048
        x = Dropout(self.dropout_rate, name='dropout')(x, train=train)
        logits = self._dense('fc')(x)  # num_classes
        if self.dtype is not None:
            logits, *heads = (scores.astype(jnp.float32) for scores in (logits, *heads))
        return (logits, *heads) if train and self.aux_head else logits

    def _head(self, x: jax.Array, train: bool) -> jax.Array:
        if min(x.shape[1:3]) < 17:
            raise ValueError(
                f'InceptionV3: maps of {x.shape[1]}x{x.shape[2]}, its auxiliary head needs 17x17 (images of 299 '
                'pixels); use larger images, or aux_head=False'
            )
        x = AvgPool(5, stride=3, name='aux_pool')(x)  # 5x5x768
        for convolution in (_conv('aux_conv0', 128, 1), ('aux_conv1', 768, (5, 5), 1, False)):
            x = _stage(convolution, self.width, self._options())(x, train=train)
        return self._dense('aux_fc')(ops.global_avg_pool(x))

    def _dense(self, name: str) -> Dense:
        return Dense(self.num_classes, kernel_initializer=self.kernel_initializer, dtype=self.dtype, name=name)

    def _options(self) -> dict[str, Any]:
        names = ('batch_norm', 'kernel_initializer', 'dtype')
        return {name: getattr(self, name) for name in names}


VARIANTS: dict[str, Callable[..., nn.Module]] = {'inception_v3': partial(InceptionV3)}
