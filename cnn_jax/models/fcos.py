"""One stage without anchors: Tian, Shen, Chen and He 2019, "FCOS: fully convolutional one-stage object detection"."""

from collections.abc import Callable
from functools import partial
from math import log
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import Conv2D, FeaturePyramid, initializers
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.resnet_later import ConvGroupNorm
from cnn_jax.models.vgg import VGG

PRIOR = 0.01  # probability of an object that each place begins with


class FCOS(nn.Module):
    """A trunk, a feature pyramid, and heads that all its maps share: what is at a place, its box, how central it is.

    Takes standardised images (batch, height, width, channels), returns of the places of all maps, one map after
    another, the finest first: {'scores': logits (batch, places, num_classes), 'boxes': (batch, places, 4), (left, top,
    right, bottom) in pixels of the images, 'centerness': logits (batch, places), 'point' (batch, places, 2), (x, y) of
    the middle of a place, and 'stride' (batch, places, 2), how many pixels it is wide and high}.

    arXiv:1904.01355; GroupNorm in the heads, and centerness beside the boxes, as in its journal version
    arXiv:2006.09214. Differs: the distances to the edges are exp(scale x) strides, as in the paper, but x is kept
    within -8 and 8.

    Learned parameters: `resnet18` 19,275,674 at 512x512x3, `resnet50` 32,295,322 at 512x512x3,
    `cifar8` 354,247 at 48x48x1.
    """

    trunk: nn.Module
    num_classes: int = 80
    filters: int = 256
    tower: int = 4  # convolutions before each head's last
    finest: int = 0  # of the trunk's maps: the one where the pyramid ends
    extra: int = 2  # maps of the pyramid that are coarser than the trunk's
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        maps = self.trunk(images, train=train)
        maps = FeaturePyramid(self.filters, self.finest, self.extra, self.dtype, name='pyramid')(maps)
        of_classes, of_boxes = self._tower('classes', train), self._tower('boxes', train)
        scores = self._last(self.num_classes, 'scores', bias=-log((1 - PRIOR) / PRIOR))
        distances, centerness = self._last(4, 'distances'), self._last(1, 'centerness')
        scales = self.param('scales', nn.initializers.ones_init(), (len(maps),), jnp.float32)
        found = []
        for number, x in enumerate(maps):
            classes, boxes = of_classes(x), of_boxes(x)
            point, stride = _places(x, (images.shape[1], images.shape[2]))
            reach = jnp.exp(jnp.clip(scales[number] * distances(boxes).astype(jnp.float32), -8, 8))
            corners = [point - reach[..., :2] * stride, point + reach[..., 2:] * stride]
            level = {
                'scores': scores(classes).astype(jnp.float32),
                'boxes': jnp.concatenate(corners, -1),
                'centerness': centerness(boxes).astype(jnp.float32)[..., 0],
                'point': jnp.broadcast_to(point, corners[0].shape),
                'stride': jnp.broadcast_to(stride, corners[0].shape),
            }
            found.append({name: one.reshape(one.shape[0], -1, *one.shape[3:]) for name, one in level.items()})
        return jax.tree.map(lambda *levels: jnp.concatenate(levels, 1), *found)

    def _tower(self, name: str, train: bool) -> Callable[[jax.Array], jax.Array]:
        """Convolutions that are shared by the maps."""
        options: dict[str, Any] = {
            'strides': 1, 'padding': 1, 'groups': 1, 'activation': nn.relu, 'dtype': self.dtype,
            'scale_initializer': nn.initializers.ones_init(), 'kernel_initializer': initializers.normal(0.01),
        }  # fmt: skip
        layers = [ConvGroupNorm(self.filters, 3, name=f'{name}{at}', **options) for at in range(self.tower)]

        def tower(x: jax.Array) -> jax.Array:
            for layer in layers:
                x = layer(x, train=train)
            return x

        return tower

    def _last(self, outputs: int, name: str, bias: float = 0.0) -> Conv2D:
        starts = {
            'kernel_initializer': initializers.normal(0.01),
            'bias_initializer': nn.initializers.constant(bias),
        }
        return Conv2D(outputs, 3, padding=1, dtype=self.dtype, name=name, **starts)


def _places(x: jax.Array, image: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """The middles (1, rows, columns, 2) of a map's places, (x, y) in pixels, and their width and height (1, 1, 1, 2).

    image: (height, width).
    """
    rows, columns = x.shape[1:3]
    stride = jnp.array([image[1] / columns, image[0] / rows], jnp.float32).reshape(1, 1, 1, 2)
    place = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)), -1)[None]
    return (place + 0.5) * stride, stride


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'resnet{depth}': partial(FCOS, trunk=ResNet(depth=depth, maps=True), finest=1) for depth in (18, 34, 50)},
    'vgg16': partial(FCOS, trunk=VGG(maps=True), finest=2),
    'cifar8': partial(
        FCOS, trunk=ResNet(depth=8, layout='cifar', maps=True), filters=64, tower=2, finest=1, extra=0
    ),
}  # fmt: skip
