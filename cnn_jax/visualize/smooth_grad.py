"""SmoothGrad: the mean gradient over noisy copies of the image. Smilkov et al. 2017, arXiv:1706.03825."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.streams import numbered
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine import mixtures

UNIT = 'score per unit of the input'  # of the numbers of a map


def attribute(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    samples: int = 50,
    noise_level: float = 0.15,
    seed: int = 0,
    squared: bool = False,
    chunk: int | None = None,
) -> jax.Array:
    """Returns the mean gradient over copies with Gaussian noise, signed, (batch, height, width, channels).

    noise_level: the deviation, as a share of the range of the image (the paper's 10 to 20 %). squared: the mean of
    squared gradients instead. chunk: most copies at a time; None: what is quick. For the rest see `gradient`; the
    target is the one of the image itself. Sample s is the same noise for every image, so that a batch gives what its
    images give alone; it is drawn when its turn comes, so that `chunk` bounds the memory.
    """
    images = scores.check_images(images)
    if samples < 1 or noise_level < 0:
        raise CnnJaxError(f'samples={samples}, noise_level={noise_level} given; at least 1, and at least 0')
    targets = mixtures.resolve(model, variables, images, targets, layer, chunk=chunk)
    draw = functools.partial(_noise, seed, shape=images.shape[1:], dtype=images.dtype)
    deviations = noise_level * np.asarray(jnp.ptp(images, axis=(1, 2, 3)))
    rows, draws = (part.ravel() for part in np.mgrid[: len(images), :samples])
    ones = np.ones(len(rows))
    points = mixtures.Points(rows, ones, draws, deviations[rows], ones / samples)
    return mixtures.gradient_sums(
        model, variables, images, draw, points, targets, layer=layer, chunk=chunk, squared=squared
    )


@functools.partial(jax.jit, static_argnames=('shape', 'dtype'))
def _noise(seed, samples, *, shape, dtype):
    """Gaussian noise, (samples, *shape): of each sample by its number alone."""
    key = jax.random.key(seed)
    return jax.vmap(lambda own: jax.random.normal(own, shape, dtype))(numbered(key, samples))
