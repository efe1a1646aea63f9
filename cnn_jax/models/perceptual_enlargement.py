"""A net that makes images larger, with the loss network that it learns from. Johnson et al. 2016, arXiv:1603.08155."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.models.edsr import EDSR
from cnn_jax.models.vgg import VGG
from cnn_jax.tracing.record import Called, record


class PerceptualEnlargement(nn.Module):
    """A net that makes images larger, `net`, and a classifier's first layers, `trunk`, which judge it in training.

    Takes images (batch, height, width, channels) in 0 .. 1, returns the larger ones in the same values. Where the
    truths (batch, height * scale, width * scale, channels) in 0 .. 1 are given too, it returns `enlarged`, those
    images, and `distance`, (batch,): the mean over the numbers of `layer` of the squared difference between what the
    trunk sees in them and in the truths. What stays as it is of the two is the trunk: see `freeze`.

    Learned parameters: `perceptual_x4` 1,777,731 at 24x24x3, of which 260,160 are the trunk's.

    Differs from the paper: the net is EDSR, not the one that repaints; the answer's histogram is not matched to that of
    the small image; total variation is not part of the loss.

    Attributes:
        layer: a convolution of the trunk, read after its activation; the paper's is relu2_2.
        mean, std, blue_first: what the trunk takes is (image - mean) / std, in the order of its channels; Caffe's.
    """

    net: nn.Module = EDSR(scale=4)
    trunk: nn.Module = VGG(stage_sizes=(2, 2), maps=True)
    layer: str = 'conv2_2'
    mean: tuple[float, ...] = (103.939 / 255, 116.779 / 255, 123.68 / 255)
    std: tuple[float, ...] = (1 / 255, 1 / 255, 1 / 255)
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
        seen, wanted = (self._seen(one, train=train) for one in (enlarged, truths))
        squares = jnp.square(seen - jax.lax.stop_gradient(wanted))
        return {'enlarged': enlarged, 'distance': jnp.mean(squares.reshape(squares.shape[0], -1), -1)}

    def _seen(self, images: jax.Array, *, train: bool) -> jax.Array:
        """The maps of `layer`; ValueError where the trunk has no layer of that name."""
        ordered = images[..., ::-1] if self.blue_first else images
        mean, std = (jnp.asarray(one, images.dtype).reshape(1, 1, 1, -1) for one in (self.mean, self.std))
        found: list[jax.Array] = []

        def ended(call: Called) -> None:
            if call.module.name == self.layer and call.first_output is not None:
                found.append(call.first_output)

        with record(ended):
            self.trunk((ordered - mean) / std, train=train)
        if not found:
            raise ValueError(
                f'layer: {self.layer!r} given; the trunk, {type(self.trunk).__name__}, has none of that name'
            )
        return found[-1]


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    'perceptual_x4': PerceptualEnlargement,
    'perceptual_x2': partial(PerceptualEnlargement, net=EDSR(scale=2)),
}
