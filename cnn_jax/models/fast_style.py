"""A net that repaints an image in one pass, and the loss network beside it. Johnson et al. 2016, arXiv:1603.08155."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.layers import Conv2D, InstanceNorm, enlarged
from cnn_jax.layers.variables import Initializer
from cnn_jax.losses import gram_matrices
from cnn_jax.models.vgg import CAFFE_MEAN, VGG, as_judged

STRIDE = 4  # of the deepest maps: two convolutions of stride 2
LEAST = 16  # pixels of a side: a mirror must have something to show
REACH = 150 / 255  # of the pictures around grey, as in the authors' code
NOISE = 0.25  # standard deviation: about that of an image, which as strong a noise as 1 would drown


class FastStyle(nn.Module):
    """A 9x9 convolution, two of stride 2, residual blocks, two enlargements, and a 9x9 convolution to the picture.

    Takes images (batch, height, width, channels) in 0 .. 1 of any size from 16 pixels a side, and returns pictures of
    the same size around 0 .. 1: a hyperbolic tangent keeps them within 0.59 of grey, as the authors' 150 of 255 does.

    Learned parameters: `johnson` 1,677,635 at 64x64x3, `narrow` 424,099 at 64x64x3.

    Differs from the paper: instance norm in the place of batch norm, as its authors do since (Ulyanov et al. 2016,
    arXiv:1607.08022); every convolution mirrors the border, where the paper mirrors 40 pixels once and pads no residual
    block; maps are enlarged by nearest neighbours before a convolution, where transposed convolutions leave a grid
    (Odena et al. 2016, doi:10.23915/distill.00003). Sizes that 4 does not divide are mirrored further and cut. With
    `noise` the net also sees so many planes of noise of deviation 0.25, the same for all images of a size, as the net
    of Ulyanov et al. 2016, arXiv:1603.03417, does: where an image is flat a convolution has nothing else to grow
    strokes from.

    Raises: CnnJaxError for images of less than 16 pixels a side.
    """

    filters: int = 32  # of the first convolution; twice and four times as many after each of stride 2
    residual_blocks: int = 5
    noise: int = 0  # planes of it beside the image
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        _, height, width, channels = images.shape
        if min(height, width) < LEAST:
            raise CnnJaxError(f'images: {height} x {width} given; this net takes {LEAST} pixels a side and more')
        after = [(0, 0), (0, -height % STRIDE), (0, -width % STRIDE), (0, 0)]
        x = jnp.pad(images, after, 'reflect')
        if self.noise:
            planes = NOISE * np.random.default_rng(0).standard_normal((1, *x.shape[1:3], self.noise), np.float32)
            drawn = jnp.broadcast_to(jnp.asarray(planes, x.dtype), (*x.shape[:3], self.noise))
            x = jnp.concatenate([x, drawn], -1)
        x = self._stage(x, self.filters, 9, 1, 'conv1')
        x = self._stage(x, 2 * self.filters, 3, 2, 'down2')
        x = self._stage(x, 4 * self.filters, 3, 2, 'down3')  # height / 4, width / 4
        for number in range(1, self.residual_blocks + 1):
            inner = self._stage(x, 4 * self.filters, 3, 1, f'block{number}_1')
            x = x + self._stage(inner, 4 * self.filters, 3, 1, f'block{number}_2', activation=None)
        x = self._stage(_doubled(x), 2 * self.filters, 3, 1, 'up4')
        x = self._stage(_doubled(x), self.filters, 3, 1, 'up5')  # height, width
        x = Conv2D(channels, 9, dtype=self.dtype, name='picture')(mirrored(x, 4))
        return 0.5 + REACH * jnp.tanh(x[:, :height, :width].astype(jnp.float32))

    def _stage(
        self, x: jax.Array, filters: int, size: int, strides: int, name: str, activation: Any = nn.relu
    ) -> jax.Array:
        """A convolution that mirrors the border, and its instance norm; no bias, which the norm would take off."""
        conv = Conv2D(filters, size, strides=strides, use_bias=False, dtype=self.dtype, name=name)
        return InstanceNorm(activation=activation, name=f'{name}_norm')(conv(mirrored(x, size // 2)))


class Perceptual(nn.Module):
    """A net that repaints, `net`, with the loss network that it learns from, `trunk`, for training alone.

    Takes images (batch, height, width, channels) in 0 .. 1. Returns the pictures, `image`, in the same values, and what
    the loss network sees: the maps of `content_layers` in them, `shown`, and in the images, `content`; the Gram
    matrices (batch, channels, channels) of `style_layers` in them, `painted`; and in the style's image, `style`, with
    a row for each image. Whoever reads `image` alone runs no loss network.

    Learned parameters: `perceptual` 9,312,899 at 64x64x3, of which 7,635,264 are the loss network's.

    Differs from the paper: the net is `FastStyle`, and the loss network may be any VGG whose `outputs` are the layers.

    Attributes:
        trunk: the loss network; it returns maps by name.
        style_initializer: gives the image that pictures are painted like, (style_size, style_size, channels) in 0 .. 1.
            The variables keep it, in the collection `given`: options say it, and other weights do not bring theirs.
        mean, std, blue_first: what the trunk takes is (image - mean) / std, in the order of its channels.
    """

    net: nn.Module = FastStyle()
    trunk: nn.Module = VGG(stage_sizes=(2, 2, 3, 3), outputs=('conv1_2', 'conv2_2', 'conv3_3', 'conv4_3'))
    content_layers: tuple[str, ...] = ('conv3_3',)
    style_layers: tuple[str, ...] = ('conv1_2', 'conv2_2', 'conv3_3', 'conv4_3')
    style_size: int = 256
    style_initializer: Initializer = nn.initializers.zeros_init()
    mean: tuple[float, ...] = tuple(value / 255 for value in CAFFE_MEAN)
    std: tuple[float, ...] = (1 / 255,) * 3
    blue_first: bool = True

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, Any]:
        pictures = self.net(images, train=train)
        shape = (self.style_size, self.style_size, images.shape[-1])
        painting = self.variable(
            'given', 'style', lambda: self.style_initializer(self.make_rng('params'), shape, jnp.float32)
        ).value
        seen = self._seen(pictures, train=train)
        content = jax.lax.stop_gradient(self._seen(images, train=train))
        grams = self._painted_grams(painting, seen)
        return {
            'image': pictures,
            'shown': {name: seen[name] for name in self.content_layers},
            'content': {name: content[name] for name in self.content_layers},
            'painted': {name: gram_matrices(seen[name]) for name in self.style_layers},
            'style': {name: jnp.broadcast_to(one, (images.shape[0], *one.shape[1:])) for name, one in grams.items()},
        }

    def _painted_grams(self, painting: jax.Array, seen: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The Gram matrices (1, channels, channels) of the style's image, by layer.

        They cost as much as some images more in each step: a step keeps them in `batch_stats`, with the image that they
        are of, and those after it take them. The loss network stays as it is (`freeze`), so they do too.
        """
        widths = {name: seen[name].shape[-1] for name in self.style_layers}
        kept = {
            name: self.variable('batch_stats', f'style_{name}', jnp.zeros, (1, width, width), jnp.float32)
            for name, width in widths.items()
        }
        of = self.variable('batch_stats', 'style', jnp.full, painting.shape, -1.0, jnp.float32)  # -1: of no image
        stored = {name: one.value for name, one in kept.items()}
        if self.is_initializing():
            return stored
        trunk, variables = self.trunk.clone(parent=None, name=None), self.trunk.variables
        inputs = as_judged(painting[None], self.mean, self.std, blue_first=self.blue_first)

        def made() -> dict[str, jax.Array]:
            found: Any = trunk.apply(variables, inputs, train=False)
            return {name: gram_matrices(found[name]).astype(jnp.float32) for name in kept}

        found = jax.lax.stop_gradient(jax.lax.cond(jnp.array_equal(of.value, painting), lambda: stored, made))
        if self.is_mutable_collection('batch_stats'):
            of.value = painting
            for name, one in kept.items():
                one.value = found[name]
        return found

    def _seen(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        """The trunk's maps by name."""
        return self.trunk(as_judged(images, self.mean, self.std, blue_first=self.blue_first), train=train)


def mirrored(images: jax.Array, count: int) -> jax.Array:
    """Images (batch, height, width, channels) with `count` more pixels at each border, mirrored at the last one."""
    return jnp.pad(images, [(0, 0), (count, count), (count, count), (0, 0)], 'reflect')


def _doubled(images: jax.Array) -> jax.Array:
    """Each pixel of (batch, height, width, channels) as two by two."""
    return enlarged(images, (2 * images.shape[1], 2 * images.shape[2]))


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    'johnson': FastStyle,
    'narrow': partial(FastStyle, filters=16),
    'perceptual': Perceptual,
}
