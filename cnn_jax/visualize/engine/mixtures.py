"""Averages of gradients at many points around each image, a few points at a time."""

import functools
from collections.abc import Callable
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
    """Point r is image_factor[r] * images[image[r]] + other_factor[r] * others(other[r]); all arrays (points,)."""

    image: np.ndarray
    image_factor: np.ndarray
    other: np.ndarray
    other_factor: np.ndarray
    weight: np.ndarray  # of its gradient in the sum of its image


Others = Callable[[np.ndarray], jax.Array]
"""Numbers (rows,) to the images that are mixed in, (rows, height, width, channels)."""


class _Run(NamedTuple):
    """What all chunks of points have in common."""

    static: scores.Static
    variables: Any
    single: tuple[int, ...]  # the shape of an image
    look: dict[str, Any]  # which layer; whether affine first steps are done early
    squared: bool


def gradient_sums(
    model: Any,
    variables: Any,
    images: jax.Array,
    others: Others,
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

    targets: explicit, as `resolve` gives them. chunk: most points, images and others at a time, which bounds memory;
    None: what is quick.
    """
    chunk = max(_FEWEST, _PIXELS // (images.shape[1] * images.shape[2])) if chunk is None else chunk
    if chunk < 1:
        raise CnnJaxError(f'chunk: {chunk} given; it is at least 1')
    sums = []
    for first in range(0, len(images), chunk):
        group = images[first : first + chunk]
        own = (points.image >= first) & (points.image < first + len(group))
        part = Points(*(array[own] for array in points))._replace(image=points.image[own] - first)
        order = np.argsort(part.other, kind='stable')  # so that a chunk has few others
        part = Points(*(array[order] for array in part))
        size = ceil(len(order) / ceil(len(order) / chunk))  # even parts, so that little is padded
        ends = _fronts(model, variables, [len(group), 1, size], images.shape[1:], images.dtype, layer)
        look = {'layer': layer, 'early': not squared and len(set(ends)) == 1}
        run = _Run(scores.Static(model), variables, images.shape[1:], look, squared)
        sums.append(_group_sums(run, group, others, part, targets[first : first + chunk], size))
    return jnp.concatenate(sums)


def _group_sums(
    run: _Run, images: jax.Array, others: Others, points: Points, targets: jax.Array, size: int
) -> jax.Array:
    """The sums of some images, `size` points at a time."""
    begin = functools.partial(scores.precisely(_begin), run.static, run.variables, **run.look)
    count = len(points.weight)
    chunks = [np.minimum(np.arange(start, start + size), count - 1) for start in range(0, count, size)]
    used = [np.unique(points.other[rows]) for rows in chunks]
    most = max(map(len, used))  # one number for all, so that one program serves all
    own, zero = begin(images), begin(jnp.zeros_like(images[:1]))
    totals = [jnp.zeros((len(images), *array.shape[1:]), _wide(array)) for array in own]
    for number, (rows, numbers) in enumerate(zip(chunks, used, strict=True)):
        part = Points(*(array[rows] for array in points))
        there = number * size + np.arange(size) < count
        part = part._replace(weight=np.where(there, part.weight, 0), other=np.searchsorted(numbers, part.other))
        mixed_in = begin(others(np.resize(numbers, most)).astype(images.dtype))
        look = {**run.look, 'squared': run.squared}
        sums = scores.precisely(_sums)(
            run.static, run.variables, (own, mixed_in, zero), part, targets, run.single, **look
        )
        totals = [total + one for total, one in zip(totals, sums, strict=True)]
    if not run.look['early']:
        return totals[0].astype(images.dtype)
    return scores.precisely(_finish)(run.static, run.variables, images, totals, **run.look).astype(images.dtype)


def _wide(array: jax.Array) -> Any:
    """Returns the type of sums."""
    return jnp.promote_types(array.dtype, jnp.float32)


def _fronts(model: Any, variables: Any, batches: list[int], single: Any, dtype: Any, layer: str | None) -> list[Any]:
    """The shapes of the arrays up to which the net is affine, for batches of some sizes; different ones where these
    arrays have no row for each image."""
    found = []
    for batch in batches:
        net = scores.net_of(model, variables, jax.ShapeDtypeStruct((batch, *single), dtype))
        shapes = [net.program.types[number].shape for number in _front(net, layer, early=True)]
        rows = all(shape[:1] == (batch,) for shape in shapes)
        found.append(tuple(shape[1:] for shape in shapes) if rows else len(found))
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


def resolve(
    model: Any, variables: Any, images: jax.Array, targets: Any, layer: str | None, *, chunk: int | None = None
) -> jax.Array:
    """Explicit targets: the class of each image (batch,), its (row, column, channel), or the weights of a sum.

    chunk: most images at a time.
    """
    net = scores.net_of(model, variables, images)
    kind = net.program.types[net.output(layer)]
    given = scores.check_targets(targets, kind.shape, layer)
    if given is not None and (given.ndim > 1 or len(kind.shape) == 2):
        return given
    static, run = scores.Static(model), scores.precisely(_resolve)
    return scores.in_chunks(
        lambda images, targets: run(static, variables, images, targets, layer=layer), (images, given), chunk
    )


@functools.partial(jax.jit, static_argnames=('static', 'layer'))
def _resolve(static, variables, images, targets, *, layer):
    net = layers.trace(static.model, variables, images)
    outputs = net.run(variables, images, [net.output(layer)])[0]
    index = jnp.argmax(scores.seeds(outputs, targets).reshape(len(images), -1), -1).astype(jnp.int32)
    return index if outputs.ndim == 2 else jnp.stack(jnp.unravel_index(index, outputs.shape[1:]), -1)


def values(
    model: Any, variables: Any, images: jax.Array, targets: jax.Array, layer: str | None, *, chunk: int | None = None
) -> jax.Array:
    """The scores, or units of a layer, that explicit targets name, (batch,), float32 or wider."""
    static, run = scores.Static(model), scores.precisely(_values)
    return scores.in_chunks(
        lambda images, targets: run(static, variables, images, targets, layer=layer), (images, targets), chunk
    )


@functools.partial(jax.jit, static_argnames=('static', 'layer'))
def _values(static, variables, images, targets, *, layer):
    net = layers.trace(static.model, variables, images)
    outputs = net.run(variables, images, [net.output(layer)])[0]
    wide = jnp.promote_types(outputs.dtype, jnp.float32)
    return jnp.sum((scores.seeds(outputs, targets) * outputs).reshape(len(images), -1), -1, dtype=wide)
