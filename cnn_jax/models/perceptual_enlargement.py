"""A net that makes images larger, with the loss network that it learns from. Johnson et al. 2016, arXiv:1603.08155."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.models.edsr import EDSR
from cnn_jax.models.vgg import CAFFE_MEAN, VGG, as_judged
from cnn_jax.ops import bicubic
from cnn_jax.tracing.record import Called, record


class PerceptualEnlargement(nn.Module):
    """A net that makes images larger, `net`, and a classifier's first layers, `trunk`, which judge it in training.

    Takes images (batch, height, width, channels) in 0 .. 1, returns the larger ones in the same values. Where the
    truths (batch, height * scale, width * scale, channels) in 0 .. 1 are given too, it returns `enlarged`, those
    images, and `distance`, (batch,): the mean over the numbers of `layer` of the squared difference between what the
    trunk sees in them and in the truths, and `pixel_weight` times that of what the trunk is given; in evaluation
    `bicubic_distance` too, that of bicubic interpolation. The trunk is to stay as it is: see `freeze`.

    Learned parameters: `perceptual_x4` 1,777,731 at 24x24x3, of which 260,160 are the trunk's.

    Differs from the paper: the net is EDSR, not the one that repaints; the answer's histogram is not matched to that of
    the small image; total variation is not part of the loss. Pixels are, and the trunk's pools are averages: without
    these two a grid was on every picture after 400 steps.

    Attributes:
        layer: a convolution of the trunk, read after its activation; the paper's is relu2_2.
        pixel_weight: how much pixels count beside it, in units of what the trunk is given; the paper's is 0.
        mean, std, blue_first: what the trunk takes is (image - mean) / std, in the order of its channels; Caffe's.
    """

    net: nn.Module = EDSR(scale=4)
    trunk: nn.Module = VGG(stage_sizes=(2, 2), maps=True, pool='average')
    layer: str = 'conv2_2'
    pixel_weight: float = 0.5
    mean: tuple[float, ...] = tuple(value / 255 for value in CAFFE_MEAN)
    std: tuple[float, ...] = (1 / 255,) * 3
    blue_first: bool = True

    @property
    def scale(self) -> int:
        """How much larger the images become."""
        return self.net.scale  # pyright: ignore[reportAttributeAccessIssue]

    @nn.compact
    def __call__(
        self, images: jax.Array, truths: jax.Array | None = None, *, train: bool
    ) -> jax.Array | dict[str, jax.Array]:
        enlarged = self.net(images, train=train)
        if truths is None:
            if self.is_initializing():  # so that its variables are the same whatever is given
                self._seen(enlarged, train=train)
            return enlarged
        judged = {'distance': enlarged}
        if not train:
            judged['bicubic_distance'] = bicubic(images, scale=self.scale)
        wanted = jax.lax.stop_gradient(self._seen(truths, train=train))
        found: dict[str, jax.Array] = {'enlarged': enlarged}
        for name, one in judged.items():
            maps, given = (_mean_square(*pair) for pair in zip(self._seen(one, train=train), wanted, strict=True))
            found[name] = maps + self.pixel_weight * given
        return found

    def _seen(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """The maps of `layer`, and what the trunk is given; ValueError where it has no layer of that name."""
        found: list[jax.Array] = []

        def ended(call: Called) -> None:
            if call.module.name == self.layer and call.first_output is not None:
                found.append(call.first_output)

        given = as_judged(images, self.mean, self.std, blue_first=self.blue_first)
        with record(ended):
            self.trunk(given, train=train)
        if not found:
            raise ValueError(
                f'layer: {self.layer!r} given; the trunk, {type(self.trunk).__name__}, has none of that name'
            )
        return found[-1], given


def _mean_square(values: jax.Array, wanted: jax.Array) -> jax.Array:
    """The mean of squared differences, (batch,), of (batch, ...)."""
    return jnp.mean(jnp.square(values - wanted).reshape(values.shape[0], -1), -1)


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    'perceptual_x4': PerceptualEnlargement,
    'perceptual_x2': partial(PerceptualEnlargement, net=EDSR(scale=2)),
}
