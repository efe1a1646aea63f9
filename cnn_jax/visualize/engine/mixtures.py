"""Averages of gradients at many points around each image, a few points at a time."""

import functools
from math import ceil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.engine import layers, scores


class Points(NamedTuple):
    """Point r is image_factor[r] * images[image[r]] + other_factor[r] * others[other[r]]; all arrays (points,)."""

    image: np.ndarray
    image_factor: np.ndarray
    other: np.ndarray
    other_factor: np.ndarray
    weight: np.ndarray  # of its gradient in the sum of its image


@functools.partial(jax.jit, static_argnames=('static', 'layer', 'squared'))
def _sums(static, variables, images, others, points, targets, *, layer, squared):
    net = layers.trace(static.model, variables, images[points.image])

    def mixed(factor, arrays, rows):
        return factor.astype(images.dtype)[:, None, None, None] * arrays[rows]

    inputs = mixed(points.image_factor, images, points.image) + mixed(points.other_factor, others, points.other)
    outputs, pull = jax.vjp(lambda inputs: net.run(variables, inputs, [net.output(layer)])[0], inputs)
    gradients = pull(scores.seeds(outputs, targets[points.image]))[0]
    gradients = jnp.square(gradients) if squared else gradients
    weighted = points.weight.astype(images.dtype)[:, None, None, None] * gradients
    return jax.ops.segment_sum(weighted, points.image, len(images))


def gradient_sums(
    model: Any,
    variables: Any,
    images: jax.Array,
    others: jax.Array,
    points: Points,
    targets: jax.Array,
    *,
    layer: str | None,
    chunk: int,
    squared: bool = False,
) -> jax.Array:
    """Returns the weighted sum of the gradients (or their squares) at the points of each image, in its shape.

    targets: explicit, as `resolve` gives them. chunk: most points at a time.
    """
    if chunk < 1:
        raise CnnJaxError(f'chunk: {chunk} given; it is at least 1')
    total, count = jnp.zeros_like(images), len(points.weight)
    size = ceil(count / ceil(count / chunk))  # even parts, so that little is padded
    for start in range(0, count, size):
        rows = np.arange(start, start + size)
        part = Points(*(array[np.minimum(rows, count - 1)] for array in points))
        part = part._replace(weight=np.where(rows < count, part.weight, 0))
        total = total + scores.precisely(_sums)(
            scores.Static(model), variables, images, others, part, targets, layer=layer, squared=squared
        )
    return total


def resolve(model: Any, variables: Any, images: jax.Array, targets: Any, layer: str | None) -> jax.Array:
    """Explicit targets: the class of each image (batch,), or its (row, column, channel), or its unit, (batch,)."""
    net = scores.net_of(model, variables, images)
    given = scores.check_targets(targets, net.program.types[net.output(layer)].shape, layer)
    if given is not None and (given.ndim == 2 or len(net.program.types[net.output(layer)].shape) == 2):
        return given
    return scores.precisely(_resolve)(scores.Static(model), variables, images, given, layer=layer)


@functools.partial(jax.jit, static_argnames=('static', 'layer'))
def _resolve(static, variables, images, targets, *, layer):
    net = layers.trace(static.model, variables, images)
    outputs = net.run(variables, images, [net.output(layer)])[0]
    index = jnp.argmax(scores.seeds(outputs, targets).reshape(len(images), -1), -1).astype(jnp.int32)
    return index if outputs.ndim == 2 else jnp.stack(jnp.unravel_index(index, outputs.shape[1:]), -1)
