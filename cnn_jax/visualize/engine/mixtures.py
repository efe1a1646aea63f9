"""Averages of gradients at many points around each image, a few points at a time."""

import functools
from math import ceil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import affine, layers, scores
from cnn_jax.tracing import program as programs

_FEWEST, _PIXELS = 16, 2**17  # points at once: 32 of 64 x 64 pixels, 16 of 224 x 224; more is not quicker


class Points(NamedTuple):
    """Point r is image_factor[r] * images[image[r]] + other_factor[r] * others[other[r]]; all arrays (points,)."""

    image: np.ndarray
    image_factor: np.ndarray
    other: np.ndarray
    other_factor: np.ndarray
    weight: np.ndarray  # of its gradient in the sum of its image


def gradient_sums(
    model: Any,
    variables: Any,
    images: jax.Array,
    others: jax.Array,
    points: Points,
    targets: jax.Array,
    *,
    layer: str | None,
    chunk: int | None,
    squared: bool = False,
) -> jax.Array:
    """Returns the weighted sum of the gradients (or their squares) at the points of each image, in its shape and dtype.

    It is added up in float32 or wider, whatever the net computes in, so that more points are never worse.

    The first steps of a net are affine (a convolution, its bias, a norm): they are done once for each image, before the
    points are mixed, and once on the way back, for the sum; this is exact.

    targets: explicit, as `resolve` gives them. chunk: most points at a time; None: what is quick.
    """
    chunk = max(_FEWEST, _PIXELS // (images.shape[1] * images.shape[2])) if chunk is None else chunk
    if chunk < 1:
        raise CnnJaxError(f'chunk: {chunk} given; it is at least 1')
    count = len(points.weight)
    size = ceil(count / ceil(count / chunk))  # even parts, so that little is padded
    static, single = scores.Static(model), images.shape[1:]
    ends = _fronts(model, variables, [len(images), len(others), 1, size], single, images.dtype, layer)
    early = not squared and len(set(ends)) == 1
    look = {'layer': layer, 'early': early}
    arrays = (images, others, jnp.zeros_like(images[:1]))
    parts = [scores.precisely(_begin)(static, variables, array, **look) for array in arrays]
    totals = [jnp.zeros((len(images), *array.shape[1:]), _wide(array)) for array in parts[0]]
    for start in range(0, count, size):
        rows = np.arange(start, start + size)
        part = Points(*(array[np.minimum(rows, count - 1)] for array in points))
        part = part._replace(weight=np.where(rows < count, part.weight, 0))
        sums = scores.precisely(_sums)(static, variables, parts, part, targets, single, squared=squared, **look)
        totals = [total + one for total, one in zip(totals, sums, strict=True)]
    sums = scores.precisely(_finish)(static, variables, images, totals, **look) if early else totals[0]
    return sums.astype(images.dtype)


def _wide(array: jax.Array) -> Any:
    """Returns the type of sums."""
    return jnp.promote_types(array.dtype, jnp.float32)


def _fronts(model: Any, variables: Any, batches: list[int], single: Any, dtype: Any, layer: str | None) -> list[Any]:
    """The shapes of the arrays up to which the net is affine, for batches of some sizes."""
    found = []
    for batch in batches:
        net = scores.net_of(model, variables, jax.ShapeDtypeStruct((batch, *single), dtype))
        found.append(tuple(net.program.types[number].shape[1:] for number in _front(net, layer, early=True)))
    return found


def _front(net: layers.Net, layer: str | None, *, early: bool) -> list[int]:
    if not early:
        return [net.images]
    return affine.frontier(programs.prune(net.program, [net.output(layer)]), net.images)


@functools.partial(jax.jit, static_argnames=('static', 'layer', 'early'))
def _begin(static, variables, images, *, layer, early):
    """The affine first steps."""
    net = layers.trace(static.model, variables, images)
    return net.run(variables, images, _front(net, layer, early=early))


@functools.partial(jax.jit, static_argnames=('static', 'single', 'layer', 'early', 'squared'))
def _sums(static, variables, parts, points, targets, single, *, layer, early, squared):
    """The sums of the gradients with respect to what `_begin` gives, one row for each image."""
    dtype = parts[0][0].dtype
    shape = jax.ShapeDtypeStruct((len(points.weight), *single), dtype)
    net = layers.trace(static.model, variables, shape)
    front = _front(net, layer, early=early)

    def scaled(factor, array):
        wide = array.astype(_wide(array))
        return factor.astype(wide.dtype).reshape(-1, *[1] * (array.ndim - 1)) * wide

    inputs = [
        (zero + scaled(points.image_factor, (image - zero)[points.image])
        + scaled(points.other_factor, (other - zero)[points.other])).astype(zero.dtype)
        for image, other, zero in zip(*parts, strict=True)
    ]  # fmt: skip

    def upper(inputs):
        return net.run(variables, None, [net.output(layer)], given=dict(zip(front, inputs, strict=True)))[0]

    outputs, pull = jax.vjp(upper, inputs)
    gradients = pull(scores.seeds(outputs, targets[points.image]))[0]
    wide = [array.astype(_wide(array)) for array in gradients]
    weighted = [scaled(points.weight, jnp.square(array) if squared else array) for array in wide]
    return [jax.ops.segment_sum(array, points.image, len(parts[0][0])) for array in weighted]


@functools.partial(jax.jit, static_argnames=('static', 'layer', 'early'))
def _finish(static, variables, images, totals, *, layer, early):
    """The way back through the affine first steps."""
    net = layers.trace(static.model, variables, images)
    front, pull = jax.vjp(lambda images: net.run(variables, images, _front(net, layer, early=early)), images)
    return pull([total.astype(array.dtype) for total, array in zip(totals, front, strict=True)])[0]


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
