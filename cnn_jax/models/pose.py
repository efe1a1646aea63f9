"""Key points as heat-maps: Xiao, Wu and Wei 2018, "Simple baselines for human pose estimation", arXiv:1804.06208."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import BatchNorm, Conv2D, Conv2DTranspose, initializers
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG


class SimpleBaseline(nn.Module):
    """The last map of a trunk, transposed convolutions that double it, and a heat-map for each key point.

    Takes standardised images (batch, height, width, channels), returns scores (batch, rows, columns, num_keypoints);
    the paper's three transposed convolutions end at a quarter of the image's size. Each is 4x4, stride 2, normalised.

    Differs from the paper in nothing but what it leaves to the trunk: ResNet-50's is that of v1.5.

    Learned parameters: `resnet18` 15,376,721 at 256x256x3, `resnet50` 33,999,697 at 256x256x3,
    `cifar8` 143,873 at 48x48x1.
    """

    trunk: nn.Module
    num_keypoints: int = 17
    num_deconvs: int = 3
    filters: int = 256
    batch_norm: str = 'global'
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x = self.trunk(images, train=train)[-1]
        for number in range(1, self.num_deconvs + 1):
            options = {'strides': 2, 'padding': 'same', 'use_bias': False, 'dtype': self.dtype}
            options['kernel_initializer'] = initializers.normal(0.001)  # as published; the normalisation undoes it
            x = Conv2DTranspose(self.filters, 4, name=f'deconv{number}', **options)(x)
            x = BatchNorm(mode=self.batch_norm, activation=nn.relu, name=f'norm{number}')(x, train=train)
        last = {'kernel_initializer': initializers.normal(0.001), 'dtype': self.dtype}
        return Conv2D(self.num_keypoints, 1, name='heatmaps', **last)(x).astype(jnp.float32)


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{
        f'resnet{depth}': partial(SimpleBaseline, trunk=ResNet(depth=depth, maps=True))
        for depth in (18, 34, 50, 101, 152)
    },
    'vgg16': partial(SimpleBaseline, trunk=VGG(maps=True)),
    'cifar8': partial(SimpleBaseline, trunk=ResNet(depth=8, layout='cifar', maps=True), num_deconvs=1, filters=64),
}
