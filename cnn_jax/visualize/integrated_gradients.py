"""Integrated gradients: the mean gradient between a baseline and the image. Sundararajan 2017, arXiv:1703.01365."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine import mixtures

UNIT = 'score'  # of the numbers of a map


def attribute(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    baseline: Any = 0.0,
    steps: int = 50,
    chunk: int | None = None,
) -> jax.Array:
    """Returns (image - baseline) times the mean gradient on the way, signed, (batch, height, width, channels).

    baseline: a number or an array that broadcasts to the images; 0 is the mean of standardised images. steps: points of
    a Gauss-Legendre rule, which is what captum takes. chunk: most points at a time; None: what is quick. For the rest
    see `gradient`; the target is the one of the image itself, all the way.

    The sum over a picture is the score of the image minus that of the baseline, up to the error of the rule, which
    `completeness` gives.
    """
    images = scores.check_images(images)
    if steps < 1:
        raise CnnJaxError(f'steps: {steps} given; it is at least 1')
    targets = mixtures.resolve(model, variables, images, targets, layer, chunk=chunk)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    alphas, weights, count = (nodes + 1) / 2, weights / 2, len(images)
    rows = np.repeat(np.arange(count), steps)
    alphas = np.tile(alphas, count)
    points = mixtures.Points(rows, alphas, rows, 1 - alphas, np.tile(weights, count))
    baselines = jnp.broadcast_to(jnp.asarray(baseline, images.dtype), images.shape)
    sums = mixtures.gradient_sums(
        model, variables, images, lambda rows: baselines[rows], points, targets, layer=layer, chunk=chunk
    )
    return (images - baselines) * sums


class Completeness(NamedTuple):
    """What a map must sum to, and how far it is from that; both (batch,), in the unit of the score."""

    difference: np.ndarray  # of the scores of the image and of the baseline
    error: np.ndarray  # the sum of the map minus the difference


def completeness(
    model: Any,
    variables: Any,
    images: Any,
    maps: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    baseline: Any = 0.0,
    chunk: int | None = None,
) -> Completeness:
    """Returns how complete maps are (axiom 1 of the paper); for the arguments see `attribute`, which gave the maps."""
    images = scores.check_images(images)
    targets = mixtures.resolve(model, variables, images, targets, layer, chunk=chunk)
    baselines = jnp.broadcast_to(jnp.asarray(baseline, images.dtype), images.shape)
    ends = [mixtures.values(model, variables, end, targets, layer, chunk=chunk) for end in (images, baselines)]
    difference = np.asarray(ends[0] - ends[1])
    return Completeness(difference, np.asarray(maps).sum((1, 2, 3)) - difference)
