"""A trunk of two convolutions, for tests of what stands on one: of a ResNet nearly all their time is tracing."""

import flax.linen as nn
import jax

from cnn_jax.layers.conv import Conv2D


class SmallTrunk(nn.Module):
    """Takes images (batch, height, width, channels), returns one map in a tuple, of a fourth of their size."""

    filters: int = 8

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array]:
        del train
        options = {'strides': 2, 'padding': 1, 'activation': nn.relu}
        x = Conv2D(self.filters, 3, name='conv1', **options)(images)
        return (Conv2D(self.filters, 3, name='conv2', **options)(x),)
