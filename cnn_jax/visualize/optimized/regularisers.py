"""What keeps an optimised image natural: penalties that are differentiated, and changes after each step.

All take images minus the mean colour, (batch, height, width, channels), where 1 is from black to white.
"""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


class Penalty(Protocol):
    """A cost (batch,) of images."""

    def __call__(self, images: Array) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Squares:
    """The weight times the sum of squares, Simonyan et al. 2013 (arXiv:1312.6034)."""

    weight: float

    def __call__(self, images: Array) -> Array:
        return self.weight * _summed(jnp.square(images))


@dataclasses.dataclass(frozen=True)
class Powers:
    """The weight times the mean of |x / spread| to a power: few values are far from the mean colour.

    Mahendran and Vedaldi 2014 (arXiv:1412.0035), with the power 6.
    """

    weight: float
    power: float = 6.0
    spread: float = 0.25

    def __call__(self, images: Array) -> Array:
        return self.weight * _averaged((jnp.abs(images) / self.spread) ** self.power)


@dataclasses.dataclass(frozen=True)
class TotalVariation:
    """The weight times the mean over the pixels of (dx^2 + dy^2) to the power beta / 2, the channels summed.

    Mahendran and Vedaldi 2014 (arXiv:1412.0035). The last row and column have no neighbour and count as flat.
    """

    weight: float
    beta: float = 2.0
    spread: float = 1.0  # the differences are taken of image / spread

    def __call__(self, images: Array) -> Array:
        down, across = differences(images / self.spread)
        squares = jnp.square(down) + jnp.square(across)
        if self.beta != 2:  # a root has no gradient at 0
            squares = (squares + 1e-8) ** (self.beta / 2)
        return self.weight * _averaged(squares)


def differences(images: Array) -> tuple[Array, Array]:
    """The next row minus this one, and the next column minus this one; 0 at the far edges; in the images' shape."""
    down = jnp.pad(images[:, 1:] - images[:, :-1], ((0, 0), (0, 1), (0, 0), (0, 0)))
    across = jnp.pad(images[:, :, 1:] - images[:, :, :-1], ((0, 0), (0, 0), (0, 1), (0, 0)))
    return down, across


def _summed(values: Array) -> Array:
    return values.reshape(len(values), -1).sum(-1)


def _averaged(values: Array) -> Array:
    return values.reshape(len(values), -1).mean(-1)


class Change(Protocol):
    """Changes images after a step: (images, the gradient before it, the number of the step from 1) -> images."""

    def __call__(self, images: Array, gradients: Array, number: Array) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Decay:
    """Each value loses this share."""

    share: float

    def __call__(self, images: Array, gradients: Array, number: Array) -> Array:
        del gradients, number
        return images * (1 - self.share)


@dataclasses.dataclass(frozen=True)
class Blur:
    """A Gaussian blur every so many steps; sigma in pixels."""

    sigma: float
    every: int = 1

    def __call__(self, images: Array, gradients: Array, number: Array) -> Array:
        del gradients
        if self.every == 1:
            return blurred(images, self.sigma)
        return jax.lax.cond(number % self.every == 0, lambda x: blurred(x, self.sigma), lambda x: x, images)


@dataclasses.dataclass(frozen=True)
class Denoise:
    """What has less total variation and is near: the image u with the least TV(u) + weight / 2 * |u - image|^2.

    The first problem of Rudin, Osher and Fatemi 1992 (doi:10.1016/0167-2789(92)90242-F), each channel by itself, as
    Nguyen et al. 2016 (arXiv:1602.03616) have it after each step, by split Bregman. Their weights are of pixels in
    0 .. 255: here they are 255 times as large. A larger weight smooths less; it goes from the first to the last in so
    many steps.
    """

    first: float
    last: float
    num_steps: int

    def __call__(self, images: Array, gradients: Array, number: Array) -> Array:
        del gradients
        share = (number - 1) / self.num_steps
        return denoised(images, self.first + share * (self.last - self.first))


@dataclasses.dataclass(frozen=True)
class ClipNorm:
    """Pixels whose norm over the channels is under this percentile become the mean colour."""

    percentile: float

    def __call__(self, images: Array, gradients: Array, number: Array) -> Array:
        del gradients, number
        return clipped(images, jnp.linalg.norm(images, axis=-1), self.percentile)


@dataclasses.dataclass(frozen=True)
class ClipContribution:
    """Pixels whose |gradient times image|, summed over the channels, is under this percentile become the mean colour.

    As in the authors' code, the gradient is that before the step and the image the one after it.
    """

    percentile: float

    def __call__(self, images: Array, gradients: Array, number: Array) -> Array:
        del number
        return clipped(images, jnp.abs((gradients * images).sum(-1)), self.percentile)


def clipped(images: Array, sizes: Array, percentile: float) -> Array:
    """Zero where `sizes` (batch, height, width) is under its percentile; all else is kept to the bit."""
    limits = jnp.percentile(sizes, percentile, axis=(1, 2), keepdims=True)
    return jnp.where((sizes >= limits)[..., None], images, jnp.zeros_like(images))


def denoised(images: Array, weight: float | Array, rounds: int = 20) -> Array:
    """The image u with the least TV(u) + weight / 2 * |u - image|^2, nearly, each channel by itself.

    By the dual problem and fast gradient projection, Beck and Teboulle 2009 (doi:10.1109/TIP.2009.2028250): more rounds
    come nearer. `skimage.restoration.denoise_tv_chambolle` has the same problem and one over the weight.
    """
    size = 1 / weight

    def smoothed(slopes: tuple[Array, Array]) -> Array:
        return images + size * divergence(*slopes)

    def round_of(_: Array, now: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
        before, ahead, pace = now
        moved = [one + step / (8 * size) for one, step in zip(ahead, differences(smoothed(ahead)), strict=True)]
        length = jnp.maximum(1.0, jnp.sqrt(jnp.square(moved[0]) + jnp.square(moved[1])))
        found = (moved[0] / length, moved[1] / length)
        next_pace = (1 + jnp.sqrt(1 + 4 * pace**2)) / 2
        ahead = tuple(new + (pace - 1) / next_pace * (new - old) for new, old in zip(found, before, strict=True))
        return found, ahead, next_pace

    flat = (jnp.zeros_like(images), jnp.zeros_like(images))
    slopes, _, _ = jax.lax.fori_loop(0, rounds, round_of, (flat, flat, jnp.ones(())))
    return smoothed(slopes)


def divergence(down: Array, across: Array) -> Array:
    """Minus the transpose of `differences`."""
    down = down.at[:, -1].set(0) - jnp.pad(down[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
    across = across.at[:, :, -1].set(0) - jnp.pad(across[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0)))
    return down + across


def blurred(images: Array, sigma: float) -> Array:
    """A Gaussian blur of each channel, mirrored at the edges, as scipy.ndimage.gaussian_filter has it (to 4 sigma)."""
    if not sigma:
        return images
    height, width = images.shape[1:3]
    rows, columns = (jnp.asarray(_blurring(size, sigma), images.dtype) for size in (height, width))
    return jnp.einsum('ih,jw,bhwc->bijc', rows, columns, images, precision='highest')


def _blurring(size: int, sigma: float) -> np.ndarray:
    """The matrix (size, size) that blurs a line of `size` pixels; the mirror repeats the pixel at the edge."""
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    places = (np.arange(size)[:, None] + np.arange(-reach, reach + 1)[None]) % (2 * size)
    places = np.where(places < size, places, 2 * size - 1 - places)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], places), weights / weights.sum())
    return matrix
