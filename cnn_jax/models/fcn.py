"""A class for each pixel: Long, Shelhamer and Darrell 2014, "Fully convolutional networks", arXiv:1411.4038."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import Conv2D, initializers
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG


class FCN(nn.Module):
    """Scores from each of the last maps of a trunk, enlarged and added from the coarsest on: FCN-8s has three.

    Takes standardised images (batch, height, width, channels), returns logits (batch, height, width, num_classes).

    Differs from the paper: enlarging is bilinear and not learnt, the trunk has no dense layers made convolutions, and
    the maps need not be pools. `hidden` adds a 3x3 convolution before each score, none as in the paper if 0.

    Learned parameters: `resnet18` 11,195,391 at 224x224x3, `vgg16` 14,741,631 at 224x224x3,
    `cifar8` 111,535 at 48x48x1.
    """

    trunk: nn.Module
    num_classes: int = 21
    scored: int = 3  # maps
    hidden: int = 0  # filters
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        maps = self.trunk(images, train=train)[-self.scored :]
        scores = [self._scores(one, number) for number, one in enumerate(maps)]
        total = scores.pop()
        for finer in reversed(scores):
            total = finer + bilinear(total, (finer.shape[1], finer.shape[2]))
        return bilinear(total, (images.shape[1], images.shape[2])).astype(jnp.float32)

    def _scores(self, x: jax.Array, number: int) -> jax.Array:
        wide = initializers.variance_scaling(2.0, 'fan_in', 'normal')
        if self.hidden:
            options = {'padding': 1, 'kernel_initializer': wide, 'dtype': self.dtype, 'activation': nn.relu}
            x = Conv2D(self.hidden, 3, name=f'hidden{number}', **options)(x)
        last = {'kernel_initializer': initializers.normal(0.01), 'dtype': self.dtype}
        return Conv2D(self.num_classes, 1, name=f'scores{number}', **last)(x)


def bilinear(maps: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Maps (batch, height, width, channels) enlarged to `size`."""
    if maps.shape[1:3] == size:
        return maps
    shape = (*size, maps.shape[3])  # of one image: an export does not know how many there are
    return jax.vmap(lambda one: jax.image.resize(one, shape, 'bilinear'))(maps)


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'resnet{depth}': partial(FCN, trunk=ResNet(depth=depth, maps=True)) for depth in (18, 34, 50)},
    'vgg16': partial(FCN, trunk=VGG(maps=True)),
    'cifar8': partial(FCN, trunk=ResNet(depth=8, layout='cifar', maps=True), hidden=32),
}
