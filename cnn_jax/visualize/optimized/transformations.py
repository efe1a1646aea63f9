"""Random changes that an optimised image must stand: a picture that the net knows only at one place is no picture.

Each takes a key, one image minus the mean colour (height, width, channels), and the share of the steps that are done.
What comes in from outside of the image has the mean colour. Sizes are shares of the image.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import jax
import jax.numpy as jnp

from cnn_jax.streams import stream

Array = jax.Array


class Transformation(Protocol):
    """A random change of one image that keeps its size."""

    def __call__(self, key: Array, image: Array, progress: Array) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Jitter:
    """Rolled by up to this share of each side, by whole pixels; what leaves at one edge enters at the other."""

    share: float

    def __call__(self, key: Array, image: Array, progress: Array) -> Array:
        del progress
        return rolled(image, self.shift(key, image.shape))

    def shift(self, key: Array, shape: tuple[int, ...]) -> Array:
        """How far the rows and columns are rolled."""
        most = jnp.array([round(self.share * size) for size in shape[:2]])
        return jax.random.randint(stream(key, 'visualize/optimized/jitter'), (2,), -most, most + 1)


def rolled(image: Array, shift: Array) -> Array:
    """An image whose rows and columns are rolled; the gradient is rolled back."""
    return jnp.roll(image, shift, (0, 1))


@dataclasses.dataclass(frozen=True)
class Zoom:
    """Enlarged about the centre by a factor between two, all equally likely on a logarithmic scale; and moved."""

    smallest: float
    largest: float
    shift: float = 0.0  # at most, of each side

    def __call__(self, key: Array, image: Array, progress: Array) -> Array:
        del progress
        by, where = (stream(key, f'visualize/optimized/zoom/{name}') for name in ('factor', 'shift'))
        factor = jnp.exp(jax.random.uniform(by, (), minval=jnp.log(self.smallest), maxval=jnp.log(self.largest)))
        moved = jax.random.uniform(where, (2,), minval=-self.shift, maxval=self.shift)
        return boxed(image, 0.5 + moved, 1 / factor)


@dataclasses.dataclass(frozen=True)
class Crops:
    """A box enlarged to the image: its side falls from the first share to the last, its centre is near the middle.

    MaCo's, Fel et al. 2023 (arXiv:2306.06805): from 0.5 to 0.05, centres with a spread of 0.15.
    """

    first: float
    last: float
    spread: float = 0.15

    def __call__(self, key: Array, image: Array, progress: Array) -> Array:
        side = self.first + (self.last - self.first) * progress
        drawn = jax.random.normal(stream(key, 'visualize/optimized/crops'), (2,))
        return boxed(image, jnp.clip(0.5 + self.spread * drawn, side / 2, 1 - side / 2), side)


def boxed(image: Array, centre: Array, side: Array) -> Array:
    """The box of an image with that centre (row, column) and side, all shares, at the image's size; bilinear."""
    height, width, _ = image.shape
    rows, columns = (_sampling(size, centre[axis], side, image.dtype) for axis, size in enumerate((height, width)))
    return jnp.einsum('ih,jw,hwc->ijc', rows, columns, image)


def _sampling(size: int, centre: Array, side: Array, dtype: jnp.dtype) -> Array:
    """The matrix (size, size) that reads a line at the places of a box; nothing lies outside."""
    places = centre * size - 0.5 + side * (jnp.arange(size) - (size - 1) / 2)
    return jnp.maximum(0, 1 - jnp.abs(places[:, None] - jnp.arange(size)[None])).astype(dtype)


@dataclasses.dataclass(frozen=True)
class Rotate:
    """Turned about the centre by up to so many degrees; bilinear."""

    degrees: float

    def __call__(self, key: Array, image: Array, progress: Array) -> Array:
        del progress
        most = jnp.deg2rad(self.degrees)
        angle = jax.random.uniform(stream(key, 'visualize/optimized/rotate'), (), minval=-most, maxval=most)
        return rotated(image, angle)


def rotated(image: Array, angle: Array) -> Array:
    """An image turned about its centre, in radians."""
    height, width, _ = image.shape
    rows, columns = jnp.meshgrid(
        jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2, indexing='ij'
    )
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    places = [cosine * rows - sine * columns + (height - 1) / 2, sine * rows + cosine * columns + (width - 1) / 2]

    def sampled(plane: Array) -> Array:
        return jax.scipy.ndimage.map_coordinates(plane, places, 1, 'constant')

    return jax.vmap(sampled, -1, -1)(image)


@dataclasses.dataclass(frozen=True)
class Margin:
    """Nothing changes but no gradient comes to this share of each side, at all four borders: what is drawn is inside.

    Nguyen et al. 2016, arXiv:1602.03616.
    """

    share: float

    def __call__(self, key: Array, image: Array, progress: Array) -> Array:
        del key, progress
        inside = jnp.zeros(image.shape, bool)
        rows, columns = (slice(round(self.share * size), size - round(self.share * size)) for size in image.shape[:2])
        return jnp.where(inside.at[rows, columns].set(True), image, jax.lax.stop_gradient(image))


@dataclasses.dataclass(frozen=True)
class Noise:
    """Normal noise of this standard deviation, in 0 .. 1."""

    deviation: float

    def __call__(self, key: Array, image: Array, progress: Array) -> Array:
        del progress
        return image + self.deviation * jax.random.normal(stream(key, 'visualize/optimized/noise'), image.shape)


def apply(transformations: Sequence[Transformation], keys: Array, images: Array, progress: Array) -> Array:
    """All transformations in order, each image by its own key: (batch,) and (batch, height, width, channels)."""
    for number, transformation in enumerate(transformations):
        own = stream(keys, f'visualize/optimized/{number}')
        images = jax.vmap(transformation, (0, 0, None))(own, images, progress)
    return images
