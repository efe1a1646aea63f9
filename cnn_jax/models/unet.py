"""U-Net on any trunk: Ronneberger, Fischer and Brox 2015, arXiv:1505.04597."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import Conv2D, ConvNorm, enlarged, initializers
from cnn_jax.models.fcn import bilinear
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG


class UNet(nn.Module):
    """The maps of a trunk on the way down, and a way up that takes each of them in: enlarge, join, two convolutions.

    Takes standardised images (batch, height, width, channels), returns logits (batch, height, width, num_classes).

    Differs from the paper: the way down is the trunk, convolutions are padded and normalised, maps are enlarged by
    nearest neighbour before the convolutions, and what is left to the size of the images is bilinear.

    Learned parameters: `resnet18` 11,737,189 at 224x224x3, `resnet50` 25,534,053 at 224x224x3,
    `cifar8` 123,733 at 48x48x1.
    """

    trunk: nn.Module
    num_classes: int = 21
    filters: int = 16  # of the finest map on the way up, at most twice as many at each one below
    batch_norm: str = 'global'
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        *finer, x = self.trunk(images, train=train)
        options = {'padding': 1, 'activation': nn.relu, 'batch_norm': self.batch_norm, 'dtype': self.dtype}
        options['kernel_initializer'] = initializers.variance_scaling(2.0, 'fan_in', 'normal')
        for number, one in reversed(list(enumerate(finer))):
            x = jnp.concatenate([one, enlarged(x, (one.shape[1], one.shape[2]))], -1)
            for layer in (1, 2):
                name = f'up{number}_{layer}'
                x = ConvNorm(min(self.filters * 2**number, x.shape[-1]), 3, name=name, **options)(x, train=train)
        last = {'kernel_initializer': initializers.normal(0.01), 'dtype': self.dtype}
        scores = Conv2D(self.num_classes, 1, name='scores', **last)(x)
        return bilinear(scores, (images.shape[1], images.shape[2])).astype(jnp.float32)


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'resnet{depth}': partial(UNet, trunk=ResNet(depth=depth, maps=True)) for depth in (18, 34, 50)},
    'vgg16': partial(UNet, trunk=VGG(maps=True)),
    'cifar8': partial(UNet, trunk=ResNet(depth=8, layout='cifar', maps=True)),
}
