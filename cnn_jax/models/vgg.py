"""VGG: stages of 3x3 convolutions. Simonyan and Zisserman 2014, arXiv:1409.1556."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

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

CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red, of ImageNet's images at 0 .. 255


class VGG(nn.Module):
    """Five stages of convolutions, each ended by a 2x2 pool, and three dense layers; the defaults are configuration D.

    Takes standardised images (batch, height, width, channels), returns logits (batch, num_classes); with `maps`, as the
    trunk of another net, the output of each stage's pool, the finest first, and no dense layer; with `outputs` the maps
    of these convolutions by name, after their activation, and nothing above them. The size of fc6
    follows the images unless `head_size` fixes it (torchvision: 7). Counts are for 224x224x3 images and 1,000 classes;
    MACs are multiply-adds of one image; errors in % are the paper's Table 3 (one scale, evaluated densely), and in
    brackets torchvision's accuracy of the same net, centre crop.

    | variant | parameters | MACs | top-1, top-5 error |
    |---|---|---|---|
    | `A` (VGG-11) | 132,863,336 | 7.609 G | 29.6, 10.4 [69.02, 88.63] |
    | `A-LRN` | 132,863,336 | 7.609 G | 29.7, 10.5 |
    | `A-BN` | 132,868,840 | 7.609 G | [70.37, 89.81] |
    | `B` (VGG-13) | 133,047,848 | 11.308 G | 28.7, 9.9 [69.93, 89.25] |
    | `B-BN` | 133,053,736 | 11.308 G | [71.59, 90.37] |
    | `C` | 133,638,952 | 11.771 G | 27.3, 8.8 (scale jitter) |
    | `C-BN` | 133,647,400 | 11.771 G | |
    | `D` (VGG-16) | 138,357,544 | 15.470 G | 25.6, 8.1 [71.59, 90.38] |
    | `D-BN` | 138,365,992 | 15.470 G | [73.36, 91.52] |
    | `E` (VGG-19) | 143,667,240 | 19.632 G | 25.5, 8.0 [72.38, 90.88] |
    | `E-BN` | 143,678,248 | 19.632 G | [74.22, 91.84] |

    Differs from the paper: kernels start from Glorot's uniform distribution, as its footnote recommends, where the
    paper drew from N(0, 0.1^2) and started the deep nets from A (`kernel_initializer=initializers.normal(0.1)`).
    The forms with BatchNorm are torchvision's: convolutions keep their biases.
    """

    num_classes: int = 1000
    stage_sizes: tuple[int, ...] = (2, 2, 3, 3, 3)
    filters: tuple[int, ...] = (64, 128, 256, 512, 512)
    pointwise_last: bool = False  # configuration C: the third convolution of a stage is 1x1
    local_response_norm: bool = False  # A-LRN: after conv1_1
    batch_norm: str | None = None  # a mode of layers.BatchNorm; None: without
    hidden_units: int = 4096
    dropout_rate: float = 0.5
    head_size: int | None = None  # adaptive average pool to this size before fc6; None: none
    kernel_initializer: Initializer = initializers.glorot_uniform()
    width: float = 1.0  # multiplies the number of filters and of hidden units
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each stage in the backward pass instead of storing what is inside
    maps: bool = False  # the stages' outputs in the place of logits
    outputs: tuple[str, ...] = ()  # convolutions whose maps are returned by name, such as conv3_3
    pool: Literal['max', 'average'] = 'max'  # average for style transfer, Gatys et al. 2015 (arXiv:1508.06576)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Any:
        stage = nn.remat(VGG._stage, static_argnums=(2, 3)) if self.remat else VGG._stage
        x, maps, named = images, [], {}
        for number in range(1, len(self.stage_sizes) + 1):
            x, found = stage(self, x, number, train)  # 112x112x64, 56x56x128, 28x28x256, 14x14x512, 7x7x512
            maps.append(x)
            named |= found
        if self.outputs:
            return self._checked(named)
        if self.maps:
            return tuple(maps)
        if self.head_size is not None:
            x = AdaptiveAvgPool(self.head_size, name='pool6')(x)
        x = x.reshape(x.shape[0], -1)  # 25,088, rows before columns before channels
        for name in ('6', '7'):
            x = self._dense(max(1, round(self.hidden_units * self.width)), f'fc{name}', nn.relu)(x)  # 4,096
            x = Dropout(self.dropout_rate, name=f'dropout{name}')(x, train=train)
        logits = self._dense(self.num_classes, 'fc8', None)(x)  # num_classes
        return logits if self.dtype is None else logits.astype(jnp.float32)

    def _checked(self, named: dict[str, jax.Array]) -> dict[str, jax.Array]:
        if missing := [name for name in self.outputs if name not in named]:
            raise ValueError(f'outputs: {", ".join(missing)} given; this VGG has no such convolution')
        return {name: named[name] for name in self.outputs}

    def _stage(self, x: jax.Array, number: int, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """What its pool makes, and the maps of its convolutions that are among `outputs`."""
        named = {}
        filters = max(1, round(self.filters[number - 1] * self.width))
        for layer in range(1, self.stage_sizes[number - 1] + 1):
            pointwise = self.pointwise_last and layer == 3
            x = conv_stage(
                filters,
                1 if pointwise else 3,
                batch_norm=self.batch_norm,
                train=train,
                padding=0 if pointwise else 1,
                activation=nn.relu,
                use_bias=True,
                kernel_initializer=self.kernel_initializer,
                dtype=self.dtype,
                name=f'conv{number}_{layer}',
            )(x)
            if (name := f'conv{number}_{layer}') in self.outputs:
                named[name] = x
            if self.local_response_norm and (number, layer) == (1, 1):
                x = LocalResponseNorm(name='norm1')(x)
        pool = {'max': MaxPool, 'average': AvgPool}[self.pool]
        return pool(2, name=f'pool{number}')(x), named

    def _dense(self, features: int, name: str, activation: Callable[[jax.Array], jax.Array] | None) -> Dense:
        initializer = self.kernel_initializer
        return Dense(features, activation=activation, kernel_initializer=initializer, dtype=self.dtype, name=name)


_PLAIN: dict[str, Callable[..., nn.Module]] = {
    'A': partial(VGG, stage_sizes=(1, 1, 2, 2, 2)),
    'B': partial(VGG, stage_sizes=(2, 2, 2, 2, 2)),
    'C': partial(VGG, pointwise_last=True),
    'D': VGG,
    'E': partial(VGG, stage_sizes=(2, 2, 4, 4, 4)),
}


def as_judged(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...], *, blue_first: bool) -> jax.Array:
    """Images (batch, height, width, channels) in 0 .. 1 as a loss network takes them: (image - mean) / std.

    mean, std: in the order of its channels. blue_first: whether these are blue, green, red.
    """
    ordered = images[..., ::-1] if blue_first else images
    wide_mean, wide_std = (jnp.asarray(one, images.dtype)[None, None, None] for one in (mean, std))
    return (ordered - wide_mean) / wide_std


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **_PLAIN,
    'A-LRN': partial(VGG, stage_sizes=(1, 1, 2, 2, 2), local_response_norm=True),
    **{f'{name}-BN': partial(variant, batch_norm='global') for name, variant in _PLAIN.items()},
}
