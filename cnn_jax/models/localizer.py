"""A class and a box for each image: the trunk of a classifier with two heads."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import Dense, initializers
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG


class Localizer(nn.Module):
    """The last map of a trunk, flattened so that places stay, a dense layer, and the two heads.

    Takes standardised images (batch, height, width, channels), returns {'scores': logits (batch, num_classes), 'box':
    (batch, 4), (left, top, right, bottom) in pixels of the images}, the same box whatever the class.

    Class and box from shared features are those of OverFeat (Sermanet et al. 2013, arXiv:1312.6229) and of Krizhevsky's
    entry of 2012. Differs: one net for both at once, and the edges are regressed as shares of the image's sides.

    Learned parameters: `resnet18` 14,517,420 at 224x224x3, `vgg16` 18,055,596 at 224x224x3, `cifar8` 1,386,396 at
    48x48x1.
    """

    trunk: nn.Module
    num_classes: int = 1000
    hidden_units: int = 128
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        height, width = images.shape[1:3]
        x = self.trunk(images, train=train)[-1]
        x = x.reshape(x.shape[0], -1)  # rows before columns before channels
        x = Dense(self.hidden_units, activation=nn.relu, dtype=self.dtype, name='fc')(x)
        last = {'kernel_initializer': initializers.normal(0.01), 'dtype': self.dtype}
        scores = Dense(self.num_classes, name='scores', **last)(x)
        box = Dense(4, name='box', **last)(x)
        middle = jnp.array([[0.25, 0.25, 0.75, 0.75]], jnp.float32)  # where a net that knows nothing begins
        sides = jnp.array([[width, height, width, height]], jnp.float32)
        return {'scores': scores.astype(jnp.float32), 'box': (box + middle) * sides}


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'resnet{depth}': partial(Localizer, trunk=ResNet(depth=depth, maps=True)) for depth in (18, 34, 50)},
    'vgg16': partial(Localizer, trunk=VGG(maps=True)),
    'cifar8': partial(Localizer, trunk=ResNet(depth=8, layout='cifar', maps=True)),
}
