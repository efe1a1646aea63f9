"""What is optimised: the pixels themselves, their spectrum in independent colours, or the phases of a spectrum alone.

A parameterisation starts parameters (batch, ...) by a key for each image, and makes images (batch, height, width,
channels) of them; black is 0 and white 1.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp

from cnn_jax.visualize.optimized.natural import Natural

Array = jax.Array
GAIN = 1.3  # root mean square of Lucid's frequency scales at 128 pixels, over the 4 that it divides by


class Parameterisation(Protocol):
    """Parameters that stand for images."""

    def start(self, keys: Array, natural: Natural) -> Array:
        """Parameters of a batch, of a key (batch,) for each image."""
        ...

    def images(self, parameters: Array, natural: Natural) -> Array:
        """The images in 0 .. 1, or beyond where nothing keeps them there."""
        ...


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The image minus the mean colour; it starts as noise of this standard deviation, in 0 .. 1."""

    noise: float = 0.0

    def start(self, keys: Array, natural: Natural) -> Array:
        return self.noise * jax.vmap(lambda key: jax.random.normal(key, natural.shape))(keys)

    def images(self, parameters: Array, natural: Natural) -> Array:
        return natural.mean[None, None, None] + parameters


@dataclasses.dataclass(frozen=True)
class Fourier:
    """The spectrum in independent colours, each frequency as strong as in the run's images, through a sigmoid.

    Olah et al. 2017, doi:10.23915/distill.00007, as Lucid has it. Two differences: spectrum and colours are those of
    the run's training images and not of ImageNet, and the image starts at their mean colour and not at grey.
    """

    noise: float = 0.01

    def start(self, keys: Array, natural: Natural) -> Array:
        shape = (*natural.magnitudes.shape, 2)
        return self.noise * jax.vmap(lambda key: jax.random.normal(key, shape))(keys)

    def images(self, parameters: Array, natural: Natural) -> Array:
        scale = natural.magnitudes / jnp.sqrt(jnp.square(natural.magnitudes).mean((0, 1), keepdims=True))
        spectrum = GAIN * scale[None] * jax.lax.complex(parameters[..., 0], parameters[..., 1])
        colors = natural.colors / jnp.linalg.norm(natural.colors, axis=0).max()
        values = in_colors(to_pixels(spectrum, natural.size), colors)
        mean = jnp.clip(natural.mean, 0.02, 0.98)
        return jax.nn.sigmoid(jnp.log(mean / (1 - mean))[None, None, None] + values)


@dataclasses.dataclass(frozen=True)
class Phases:
    """The phases of a spectrum whose magnitudes stay those of the run's images.

    MaCo: Fel et al. 2023, arXiv:2306.06805, with a sigmoid at the end as the authors' code has it. Differences:
    spectrum, colours and mean are those of the run's training images and not of ImageNet; the sigmoid has a slope of 1
    at the mean colour, so that what is near to it is in the units of these images; phases start uniform, and are not
    standardised; a box has one side for all views of a step; and no transparency is made of the gradients.
    """

    def start(self, keys: Array, natural: Natural) -> Array:
        shape = natural.magnitudes.shape
        return jax.vmap(lambda key: jax.random.uniform(key, shape, minval=-jnp.pi, maxval=jnp.pi))(keys)

    def images(self, parameters: Array, natural: Natural) -> Array:
        magnitudes = natural.magnitudes.at[0, 0].set(0)[None]  # the mean colour is that of the run's images
        spectrum = jax.lax.complex(magnitudes * jnp.cos(parameters), magnitudes * jnp.sin(parameters))
        return squashed(in_colors(to_pixels(spectrum, natural.size), natural.colors), natural.mean)


def squashed(values: Array, mean: Array) -> Array:
    """Images in 0 .. 1 of differences from the mean colour (channels,), by a sigmoid; small ones are only added."""
    mean = jnp.clip(mean, 0.02, 0.98)[None, None, None]
    return jax.nn.sigmoid(jnp.log(mean / (1 - mean)) + values / (mean * (1 - mean)))


def to_pixels(spectrum: Array, size: tuple[int, int]) -> Array:
    """The orthonormal inverse transform of spectra (batch, height, width // 2 + 1, channels), for any height, width."""
    return jnp.fft.irfft2(spectrum, s=size, axes=(1, 2), norm='ortho')


def in_colors(values: Array, colors: Array) -> Array:
    """Independent colours (..., channels) as colours of the images."""
    return jnp.einsum('...i,ci->...c', values, colors)
