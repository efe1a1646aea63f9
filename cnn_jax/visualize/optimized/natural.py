"""What the images of a run are like: their model inputs, the colours, and the spectrum.

Measured on training images; where there are none (a backbone alone, without its data set), what has been published of
photographs stands in for them, which is said: `PUBLISHED`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.engine.examples import Absent, Examples
from cnn_jax.visualize.optimized import inputs as maps
from cnn_jax.visualize.optimized.inputs import Inputs

MOST_IMAGES = 512  # that are measured, spread evenly over the split
_LEAST_SPREAD = 1e-3  # of a colour, in 0 .. 1: where all images have one colour a picture may still have another
PUBLISHED = (
    "no training images are there to measure: mean and colours are those published of ImageNet's, the spectrum is one "
    'over the frequency'
)
# Of ImageNet's pixels in 0 .. 1: the mean that torchvision takes off, and the root of the covariance, from Lucid.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_COLORS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Natural:
    """Images of a run. An optimised image is in 0 .. 1, from black to white; `inputs` makes model inputs of it.

    Attributes:
        pixels: makes model inputs of images, whatever the order of their channels is.
        mean: (channels,) of the images, in 0 .. 1.
        colors: (channels, channels) takes independent colours of variance 1 to those of the images.
        magnitudes: (height, width // 2 + 1, channels) of the orthonormal spectrum, of the independent colours.
        norm: () of an image minus the mean colour, root mean square over the images.
        size: height, width.
    """

    pixels: Inputs
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
        return self.pixels(images)

    def images(self, inputs: jax.Array) -> jax.Array:
        """Model inputs as images in 0 .. 1."""
        return self.pixels.images(inputs)

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


def measured(examples: Examples | Absent) -> Natural:
    """What the images of a split are like, by up to MOST_IMAGES of them; of a split that is not there, `published`.

    Raises: CnnJaxError for a preprocessing that is no linear map of the colours, or for a split without images.
    """
    if isinstance(examples, Absent):
        grey = np.full(examples.image_shape, 128, np.uint8)
        return published(maps.measured(examples.preprocess, grey), examples.image_shape)
    rows = np.linspace(0, len(examples.source) - 1, min(MOST_IMAGES, len(examples.source))).round().astype(int)
    found = [examples.source[int(row)] for row in np.unique(rows)]
    pixels = [one['image'] for one in found if one.get('readable', True)]
    pixels = [one for one in pixels if one.shape == pixels[0].shape]
    if not pixels:
        raise CnnJaxError('pictures by optimisation need images to measure colours by, and the data set has none')
    map_of = maps.measured(examples.preprocess, pixels[0], resizes=True)
    inputs = np.concatenate([np.asarray(examples.preprocess(np.stack(part))) for part in _parts(pixels)])
    return of_images(np.asarray(map_of.images(jnp.asarray(inputs))), map_of)


def _parts(pixels: list[np.ndarray], count: int = 64) -> list[list[np.ndarray]]:
    return [pixels[start : start + count] for start in range(0, len(pixels), count)]


def published(pixels: Inputs, shape: tuple[int, int, int]) -> Natural:
    """What photographs are like (height, width, channels) where none are there to be measured.

    The mean and the covariance of ImageNet's colours, and magnitudes of one over the frequency (Field 1987,
    doi:10.1364/JOSAA.4.002379), whose lowest is that of one wave in the longer side, as Lucid has it.
    """
    height, width, channels = shape
    mean, colors = np.array(IMAGENET_MEAN), np.array(IMAGENET_COLORS)
    if channels == 1:
        mean, colors = mean.mean(keepdims=True), np.linalg.norm(colors.mean(0)).reshape(1, 1)
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    falling = 1 / np.maximum(frequencies, 1 / max(height, width))
    falling /= np.sqrt(np.square(falling).mean())  # so that independent colours have a variance of 1
    magnitudes = falling[:, : width // 2 + 1]
    norm = np.sqrt(np.square(colors).sum() * height * width)
    found = (mean, colors, np.repeat(magnitudes[..., None], channels, -1), norm)
    return Natural(pixels, *(jnp.asarray(one, jnp.float32) for one in found), size=(height, width))


def of_images(images: np.ndarray, pixels: Inputs) -> Natural:
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
    found = (mean, axes * spreads, magnitudes, norm)
    return Natural(pixels, *(jnp.asarray(one, jnp.float32) for one in found), size=(height, width))
