"""Objects as points: Zhou, Wang and Krähenbühl 2019, "Objects as points", arXiv:1904.07850."""

from collections.abc import Callable
from functools import partial
from math import log

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import Conv2D, Pyramid, initializers
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG

PRIOR = 0.1  # probability of an object that each place begins with


class CenterNet(nn.Module):
    """A trunk, a way up to a fine map, and three heads: a score of each class, the size and the offset of each place.

    Takes standardised images (batch, height, width, channels), returns {'scores': logits (batch, rows, columns,
    num_classes), 'boxes': (batch, rows, columns, 4), (left, top, right, bottom) in pixels of the images}: the box of an
    object whose centre is in that place.

    Differs from the paper: the way up is a feature pyramid's (Lin et al. 2016, arXiv:1612.03144) in the place of
    deformable convolutions; sizes are the exponential of the output times 16 pixels, so that none is negative.

    Learned parameters: `resnet18` 11,391,444 at 512x512x3, `resnet50` 23,907,284 at 512x512x3,
    `cifar8` 236,612 at 48x48x1.
    """

    trunk: nn.Module
    num_classes: int = 80
    filters: int = 64
    finest: int = 0  # of the trunk's maps: the one at whose size the heads are
    batch_norm: str = 'global'
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        maps = self.trunk(images, train=train)
        x = Pyramid(self.filters, self.finest, self.batch_norm, self.dtype, name='pyramid')(maps, train=train)
        scores = self._head(x, self.num_classes, 'scores', bias=-log((1 - PRIOR) / PRIOR))
        size, offset = self._head(x, 2, 'size'), self._head(x, 2, 'offset')  # (batch, rows, columns, 2), x and y
        return {'scores': scores, 'boxes': _boxes(size, offset, (images.shape[1], images.shape[2]))}

    def _head(self, x: jax.Array, outputs: int, name: str, bias: float = 0.0) -> jax.Array:
        wide = initializers.variance_scaling(2.0, 'fan_in', 'normal')
        options = {'dtype': self.dtype, 'padding': 1}
        x = Conv2D(self.filters, 3, activation=nn.relu, kernel_initializer=wide, name=f'{name}_hidden', **options)(x)
        last = {'kernel_initializer': initializers.normal(0.01), 'bias_initializer': nn.initializers.constant(bias)}
        return Conv2D(outputs, 1, dtype=self.dtype, name=name, **last)(x).astype(jnp.float32)


def _boxes(size: jax.Array, offset: jax.Array, image: tuple[int, int]) -> jax.Array:
    """The box of each place, from its size and the offset of its centre in the place; `image`: (height, width)."""
    rows, columns = size.shape[1:3]
    stride = jnp.array([image[1] / columns, image[0] / rows], jnp.float32).reshape(1, 1, 1, 2)
    corner = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)), -1)[None]  # (1, rows, columns, 2), x and y
    centre = (corner + 0.5 + offset) * stride
    half = 8 * jnp.exp(jnp.clip(size, -8, 8))
    return jnp.concatenate([centre - half, centre + half], -1)


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'resnet{depth}': partial(CenterNet, trunk=ResNet(depth=depth, maps=True)) for depth in (18, 34, 50)},
    'vgg16': partial(CenterNet, trunk=VGG(maps=True), finest=1),
    'cifar8': partial(CenterNet, trunk=ResNet(depth=8, layout='cifar', maps=True), finest=1),
}
