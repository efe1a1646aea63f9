"""What the images of a run are like: the model inputs of black and white, the colours, and the spectrum."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.engine.examples import Examples

MOST_IMAGES = 512  # that are measured, spread evenly over the split
_LEAST_SPREAD = 1e-3  # of a colour, in 0 .. 1: where all images have one colour a picture may still have another


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Natural:
    """Images of a run. An optimised image is in 0 .. 1, from black to white; `inputs` makes model inputs of it.

    Attributes:
        black, white: (channels,) the model inputs of pixels of 0 and of 255.
        mean: (channels,) of the images, in 0 .. 1.
        colors: (channels, channels) takes independent colours of variance 1 to those of the images.
        magnitudes: (height, width // 2 + 1, channels) of the orthonormal spectrum, of the independent colours.
        norm: () of an image minus the mean colour, root mean square over the images.
        size: height, width.
    """

    black: jax.Array
    white: jax.Array
    mean: jax.Array
    colors: jax.Array
    magnitudes: jax.Array
    norm: jax.Array
    size: tuple[int, int] = dataclasses.field(metadata={'static': True})

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (*self.size, len(self.mean))

    @property
    def blank(self) -> jax.ShapeDtypeStruct:
        """The shape of one model input, (1, height, width, channels)."""
        return jax.ShapeDtypeStruct((1, *self.shape), jnp.float32)

    def inputs(self, images: jax.Array) -> jax.Array:
        """Images in 0 .. 1 (batch, height, width, channels) as model inputs."""
        return _wide(self.black) + _wide(self.white - self.black) * images

    def images(self, inputs: jax.Array) -> jax.Array:
        """Model inputs as images in 0 .. 1."""
        return (inputs - _wide(self.black)) / _wide(self.white - self.black)

    def centred(self, images: jax.Array) -> jax.Array:
        """Images minus the mean colour: zero is the colour that says least."""
        return images - _wide(self.mean)

    def of_size(self, height: int, width: int) -> 'Natural':
        """The same for images of another size, whose spectrum is stretched over the new frequencies."""
        shape = (height, width // 2 + 1, len(self.mean))
        return dataclasses.replace(
            self,
            magnitudes=jax.image.resize(self.magnitudes, shape, 'linear'),
            norm=self.norm * np.sqrt(height * width / np.prod(self.size)),
            size=(height, width),
        )


def _wide(values: jax.Array) -> jax.Array:
    return values[None, None, None]


def measured(examples: Examples) -> Natural:
    """What the images of a split are like, by up to MOST_IMAGES of them.

    Raises: CnnJaxError for a preprocessing whose model inputs are no multiple of the pixels, channel by channel, plus
    a number; or for a split without images.
    """
    rows = np.linspace(0, len(examples.source) - 1, min(MOST_IMAGES, len(examples.source))).round().astype(int)
    found = [examples.source[int(row)] for row in np.unique(rows)]
    pixels = [one['image'] for one in found if one.get('readable', True)]
    pixels = [one for one in pixels if one.shape == pixels[0].shape]
    if not pixels:
        raise CnnJaxError('pictures by optimisation need images to measure colours by, and the data set has none')
    black, white = _ends(examples, pixels[0].shape)
    inputs = np.concatenate([np.asarray(examples.preprocess(np.stack(part))) for part in _parts(pixels)])
    return of_images((inputs - black) / (white - black), black, white)


def _parts(pixels: list[np.ndarray], count: int = 64) -> list[list[np.ndarray]]:
    return [pixels[start : start + count] for start in range(0, len(pixels), count)]


def _ends(examples: Examples, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The model inputs of black and white, (channels,)."""
    levels = np.array([0, 102, 204])  # not 255, which may stand for something else
    flat = np.asarray(examples.preprocess(np.broadcast_to(levels[:, None, None, None], (3, *shape)).astype(np.uint8)))
    black, half, most = flat.mean((1, 2))
    straight = np.allclose(half, (black + most) / 2, rtol=1e-3, atol=1e-4) and np.ptp(flat, axis=(1, 2)).max() < 1e-3
    white = black + (most - black) * 255 / 204
    if not straight or np.any(black == white):
        raise CnnJaxError(
            'the preprocessing of this experiment is no scale and shift of each channel (inputs of 0, 102 and 204 '
            f'are {black}, {half}, {most}); pictures by optimisation need one to turn inputs into colours'
        )
    return black, white


def of_images(images: np.ndarray, black: np.ndarray, white: np.ndarray) -> Natural:
    """What images (batch, height, width, channels) in 0 .. 1 are like; those that are not finite are left out."""
    images = images[np.isfinite(images).all((1, 2, 3))].astype(np.float32)
    if not len(images):
        raise CnnJaxError('the model inputs of all images that were measured are not finite')
    _, height, width, channels = images.shape
    mean = images.mean((0, 1, 2))
    centred = images - mean
    covariance = np.atleast_2d(np.cov(centred.reshape(-1, channels), rowvar=False, bias=True))
    variances, axes = np.linalg.eigh(covariance)
    spreads = np.maximum(np.sqrt(np.maximum(variances, 0)), _LEAST_SPREAD)
    independent = centred @ axes / spreads
    magnitudes = np.abs(np.fft.rfft2(independent, axes=(1, 2), norm='ortho')).mean(0)
    norm = np.sqrt(np.square(centred).sum((1, 2, 3)).mean())
    found = (black, white, mean, axes * spreads, magnitudes, norm)
    return Natural(*(jnp.asarray(one, jnp.float32) for one in found), size=(height, width))
