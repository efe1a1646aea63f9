"""What a preprocessing makes of pixels, as a linear map of the colours, for images of any size."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError


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
        return jnp.einsum('bhwc,cd->bhwd', images, self.colors, precision='highest') + self.black[None, None, None]


def measured(preprocess: Callable[[np.ndarray], jax.Array], pixels: np.ndarray) -> Inputs:
    """The map that a preprocessing is, held to what it makes of `pixels`, uint8 (height, width, channels).

    Raises: CnnJaxError for a preprocessing that is no such map, or changes the size.
    """
    channels = pixels.shape[-1]
    plain = np.zeros((channels + 1, *pixels.shape), np.uint8)
    for channel in range(channels):
        plain[channel + 1, ..., channel] = 204  # not 255, which may stand for something else
    made, expected = np.asarray(preprocess(plain)), np.asarray(preprocess(pixels[None]))
    if made.shape == plain.shape:
        black, *full = made.mean((1, 2))
        found = Inputs(jnp.asarray(black), jnp.asarray((np.stack(full) - black) * 255 / 204))
        reach = max(float(np.abs(expected).max()), 1e-6)
        if np.allclose(np.asarray(found(jnp.asarray(pixels[None]) / 255)), expected, rtol=0, atol=1e-3 * reach):
            return found
    raise CnnJaxError(
        'the preprocessing of this experiment does more to a photograph than to scale and shift its colours, or gives '
        'it another size; pictures that are optimised need one that does no more'
    )
