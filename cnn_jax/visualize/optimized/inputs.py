"""Between pixels and model inputs: what a preprocessing makes of colours, as a linear map, for images of any size.

The one place where pictures that are optimised meet a preprocessing. The order of the channels is part of the map, so a
net that takes blue first is optimised in red, green and blue as every other.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError

LEVEL = 204  # of a colour that is measured: not 255, which may stand for something else


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Inputs:
    """Makes model inputs of images in 0 .. 1; a change of the order of channels is such a map too.

    Attributes:
        black: (channels,) the model inputs of pixels of 0.
        colors: (channels of images, channels of inputs) what full intensity of a channel adds.
    """

    black: jax.Array
    colors: jax.Array

    def __call__(self, images: jax.Array) -> jax.Array:
        """(batch, height, width, channels) in 0 .. 1 to model inputs."""
        return _mapped(images, self.colors, self.black)

    def images(self, inputs: jax.Array) -> jax.Array:
        """Model inputs (batch, height, width, channels) as images in 0 .. 1: the other way."""
        back = jnp.asarray(np.linalg.inv(np.asarray(self.colors, np.float64)), jnp.float32)
        return _mapped_back(inputs, back, self.black)


@jax.jit
def _mapped(images: jax.Array, colors: jax.Array, black: jax.Array) -> jax.Array:
    return jnp.einsum('bhwc,cd->bhwd', images, colors, precision='highest') + black[None, None, None]


@jax.jit
def _mapped_back(inputs: jax.Array, back: jax.Array, black: jax.Array) -> jax.Array:
    return jnp.einsum('bhwd,dc->bhwc', inputs - black[None, None, None], back, precision='highest')


def measured(preprocess: Callable[[np.ndarray], jax.Array], pixels: np.ndarray, *, resizes: bool = False) -> Inputs:
    """The map that a preprocessing is, held to what it makes of `pixels`, uint8 (height, width, channels).

    resizes: images of another size are no mistake; the map is then held to what it makes of one grey.

    Raises: CnnJaxError for a preprocessing that is no such map, or one that cannot be undone, or changes the size.
    """
    channels = pixels.shape[-1]
    plain = np.zeros((channels + 2, *pixels.shape), np.uint8)
    for channel in range(channels):
        plain[channel + 1, ..., channel] = LEVEL
    plain[-1] = LEVEL // 2
    made = np.asarray(preprocess(plain))
    if made.shape == plain.shape:
        held, expected = pixels[None], np.asarray(preprocess(pixels[None]))
    else:
        held, expected = plain[-1:, :1, :1], made[-1:]  # a grey of one pixel stands for all of them
    if made.ndim == 4 and made.shape[-1] == channels and (resizes or made.shape == plain.shape):
        black, *full = made[:-1].astype(np.float64).mean((1, 2))
        colors = (np.stack(full) - black) * 255 / LEVEL
        found = Inputs(jnp.asarray(black, jnp.float32), jnp.asarray(colors, jnp.float32))
        reach = max(float(np.abs(expected).max()), 1e-6)
        is_flat = np.ptp(made, axis=(1, 2)).max() < 1e-3 * max(float(np.abs(made).max()), 1e-6)
        is_straight = np.abs(np.asarray(found(jnp.asarray(held) / 255)) - expected).max() < 1e-3 * reach
        if is_flat and is_straight and np.linalg.matrix_rank(colors) == channels:
            return found
    raise CnnJaxError(
        'the preprocessing of this experiment does more to a photograph than to scale, shift and reorder its colours, '
        f'{"" if resizes else "or gives it another size, "}or cannot be undone; pictures that are optimised need one '
        'that does no more'
    )
