"""From a model and images to numbers: scores of classes or units, and their gradients, compiled once per model.

Variables are arguments of what is compiled, so that another checkpoint costs no compilation.
"""

import functools
from collections.abc import Callable
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import layers, relu
from cnn_jax.tracing.static import Shapes, Static, shapes_of, with_shapes

Array = jax.Array


def precisely(function: Callable) -> Callable:
    """The function with matrix products in full precision."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with jax.default_matmul_precision('highest'):
            return function(*args, **kwargs)

    return wrapped


def check_images(images: Any) -> Array:
    """Model inputs as an array; CnnJaxError unless they are (batch, height, width, channels), floating point."""
    images = jnp.asarray(images)
    if images.ndim == 4 and images.shape[1] in (1, 3) and min(images.shape[2:]) > 4:
        raise CnnJaxError(
            f'images: {images.shape} given, with the channels first it seems; give (batch, height, width, channels)'
        )
    if images.ndim != 4 or not len(images) or not jnp.issubdtype(images.dtype, jnp.floating):
        raise CnnJaxError(
            f'images: {images.dtype} {images.shape} given; give preprocessed images, floating point, '
            '(batch, height, width, channels)'
        )
    return images


@functools.lru_cache(maxsize=64)
def _net_of_shapes(static: Static, shapes: Shapes, image: tuple) -> layers.Net:
    trace = precisely(layers.trace)  # as what is compiled here does, so that JAX knows the model again
    return trace(static.model, with_shapes(shapes), jax.ShapeDtypeStruct(*image), sure=True)


def net_of(model: Any, variables: Any, images: Any) -> layers.Net:
    """The layers and shapes of a model, remembered; only the shapes of the arguments are looked at."""
    return _net_of_shapes(Static(model), shapes_of(variables), (tuple(images.shape), images.dtype))


def check_targets(targets: Any, shape: tuple[int, ...], layer: str | None) -> Array | None:
    """Targets as an int32 array: a class or channel of each image, or its (row, column, channel); weights as they are.

    targets: None; one for all images, or one each; or the weights of a sum, bool or floating point, in the shape of the
    scores. shape: of the scores, or of the layer.
    Raises: CnnJaxError for what is not there.
    """
    if targets is None:
        return None
    values = np.asarray(targets)
    if values.shape == tuple(shape) and values.dtype.kind in 'bf':
        return jnp.asarray(values)
    batch, *sizes = shape
    what = f'unit of {layer}' if layer else 'class'
    if values.dtype.kind not in 'iu':
        raise CnnJaxError(f'targets: {values.dtype} given; give whole numbers, one {what} for each image')
    if values.shape == ():
        values = np.broadcast_to(values, (batch,))
    by_place = values.shape == (batch, 3) and len(sizes) == 3
    if values.shape != (batch,) and not by_place:
        raise CnnJaxError(f'targets: shape {values.shape} given; give one {what} for each of {batch} images')
    allowed = np.array(sizes if by_place else sizes[-1:])
    outside = ((values.reshape(batch, -1) < 0) | (values.reshape(batch, -1) >= allowed[None])).any(1)
    if outside.any():
        given, largest = values[outside][0].tolist(), (allowed - 1).tolist()
        raise CnnJaxError(f'targets: {given} given; a {what} is 0 to {largest if by_place else largest[0]}')
    return jnp.asarray(values, jnp.int32)


def seeds(outputs: Array, targets: Array | None) -> Array:
    """One at the unit of each image that is looked at, 0 elsewhere; in the shape and dtype of `outputs`.

    None: the largest. A channel of a map: its largest unit. Of equals the first. Weights are their own seeds.
    """
    if targets is not None and targets.shape == outputs.shape:
        return targets.astype(outputs.dtype)
    batch = len(outputs)
    flat = outputs.reshape(batch, -1)
    if targets is None:
        index = jnp.argmax(flat, -1)
    elif targets.ndim == 2:
        _, _, width, channels = outputs.shape
        index = (targets[:, 0] * width + targets[:, 1]) * channels + targets[:, 2]
    elif outputs.ndim == 2:
        index = targets
    else:
        channels = outputs.shape[-1]
        own = jnp.take_along_axis(outputs.reshape(batch, -1, channels), targets[:, None, None], -1)[..., 0]
        index = jnp.argmax(own, -1) * channels + targets
    return jax.nn.one_hot(index, flat.shape[-1], dtype=outputs.dtype).reshape(outputs.shape)


@functools.partial(jax.jit, static_argnames=('static', 'layer', 'rule'))
def _gradients(static, variables, images, targets, *, layer, rule):
    net = layers.trace(static.model, variables, images)

    def outputs_of(images):
        return net.run(variables, images, [net.output(layer)], rule=rule)[0]

    outputs, pull = jax.vjp(outputs_of, images)
    seed = seeds(outputs, targets)
    return pull(seed)[0], jnp.sum((seed * outputs).reshape(len(images), -1), -1)


def gradients(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    rule: relu.Name | None = None,
    chunk: int | None = None,
) -> tuple[Array, Array]:
    """The gradient of one score with respect to each image, (batch, height, width, channels), and the scores.

    targets: the class of each image, None: the highest; with `layer` a unit of it: its channel, at the place where
    that is strongest, or (row, column, channel). rule: a backward rule for ReLUs. chunk: most images at a time.
    """
    images = check_images(images)
    net = net_of(model, variables, images)
    targets = check_targets(targets, net.program.types[net.output(layer)].shape, layer)
    static = Static(model)

    def of(images, targets):
        return _gradients(static, variables, images, targets, layer=layer, rule=rule)

    return in_chunks(precisely(of), (images, targets), chunk)


@functools.partial(jax.jit, static_argnames=('static', 'names', 'rule'))
def _gradients_among(static, variables, images, targets, which, *, names, rule):
    net = layers.trace(static.model, variables, images)

    def outputs_of(images):
        return net.run(variables, images, [net.output(name) for name in names], rule=rule)

    outputs, pull = jax.vjp(outputs_of, images)
    started = []
    for number, output in enumerate(outputs):
        seed = seeds(output, targets if output.ndim == 4 else targets[:, -1])
        own = (which == number).reshape(-1, *[1] * (output.ndim - 1))
        started.append(jnp.where(own, seed, jnp.zeros_like(seed)))
    return pull(started)[0]


def gradients_among(
    model: Any,
    variables: Any,
    images: Any,
    targets: np.ndarray,
    *,
    names: tuple[str, ...],
    which: np.ndarray,
    rule: relu.Name | None = None,
) -> Array:
    """For each image the gradient of a unit of one of several layers, in one program, that of the last of them.

    Returns (batch, height, width, channels). Where a layer does not know a rule, none of them does: see `Net.relus`.

    targets: (batch, 3), row, column and channel; of a layer without maps the channel alone counts. names: of the
    layers. which: (batch,), the number of the layer. rule: a backward rule for ReLUs.

    Raises: CnnJaxError for an unknown layer, or a rule that the net does not know.
    """
    return precisely(_gradients_among)(
        Static(model), variables, check_images(images), jnp.asarray(targets, jnp.int32),
        jnp.asarray(which, jnp.int32), names=names, rule=rule,
    )  # fmt: skip


def in_chunks(function: Callable, arrays: tuple[Any, ...], chunk: int | None) -> Any:
    """`function(*arrays)` on at most `chunk` rows at a time, the last run padded so that one program serves all."""
    if chunk is not None and chunk < 1:
        raise CnnJaxError(f'chunk: {chunk} given; it is at least 1')
    rows = len(arrays[0])
    if chunk is None or chunk >= rows:
        return function(*arrays)
    parts, size = [], ceil(rows / ceil(rows / chunk))  # even parts, so that little is padded
    for start in range(0, rows, size):
        index = np.minimum(np.arange(start, start + size), rows - 1)
        part = function(*(_rows(array, index) for array in arrays))
        parts.append(jax.tree.map(lambda leaf, start=start: leaf[: rows - start], part))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def _rows(array: Any, index: np.ndarray) -> Any:
    """Rows of an array, on the host or on a device, there by one program instead of the four of `array[index]`."""
    if isinstance(array, jax.Array):
        return jnp.take(array, index, axis=0, mode='clip')
    return None if array is None else array[index]


@functools.partial(jax.jit, static_argnames='static')
def _outputs(static, variables, images):
    net = layers.trace(static.model, variables, images)
    found = net.run(variables, images, [one.output for one in net.returned.values()])
    return dict(zip(net.returned, found, strict=True))


def outputs(model: Any, variables: Any, images: Any, *, chunk: int | None = None) -> Any:
    """What the model returns, its one array, or several by their places; chunk: most images at a time."""
    static, run = Static(model), precisely(_outputs)
    found = in_chunks(lambda images: run(static, variables, images), (check_images(images),), chunk)
    return found.get('', found)


@functools.partial(jax.jit, static_argnames=('static', 'reads'))
def _read(static, variables, images, *, reads):
    net = layers.trace(static.model, variables, images)
    return net.run(variables, images, list(reads))


def read(model: Any, variables: Any, images: Any, names: tuple[str | int | None, ...]) -> list[Array]:
    """The outputs of layers by name, after their activation; None: the scores; a number: that array of the program."""
    images = check_images(images)
    net = net_of(model, variables, images)
    reads = tuple(name if isinstance(name, int) else net.output(name) for name in names)
    return precisely(_read)(Static(model), variables, images, reads=reads)
