"""Occlusion: what the score loses when a window of the image is covered. Zeiler and Fergus 2013, arXiv:1311.2901."""

import functools
from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import layers, scores
from cnn_jax.visualize.engine import mixtures

Pair = int | Sequence[int]


def attribute(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    window: Pair | None = None,
    stride: Pair | None = None,
    baseline: Any = 0.0,
    chunk: int = 16,
) -> jax.Array:
    """Returns the drop of the score, averaged over the windows that cover a pixel, (batch, height, width, channels).

    window: side, or (height, width), in pixels; None: a quarter of the image. stride: at most the window; None: half of
    it. The last window of a row is cut at the edge (captum's rule). baseline: a number or an array that broadcasts to
    the images; 0 is the mean of standardised images. chunk: most covered images at a time. For the rest see `gradient`.

    Raises: CnnJaxError, beside those of `gradient`, for windows that do not fit.
    """
    sizes = {'window': window, 'stride': stride, 'baseline': baseline, 'chunk': chunk}
    return jnp.asarray(_look(model, variables, images, targets, layer, None, **sizes).drop_map)


class Seen(NamedTuple):
    """What covering shows, as arrays with a value for each window, (batch, rows, columns)."""

    drop_map: np.ndarray  # (batch, height, width, channels), as `attribute` returns
    score: np.ndarray  # of the target while the window is covered
    probability: np.ndarray  # softmax of it; NaN for a unit of a layer
    label: np.ndarray  # the class with the highest score, int32
    strongest_map: np.ndarray  # the sum of the channel of `map_layer` that is strongest on the whole image
    map_layer: str | None
    window: tuple[int, int]
    stride: tuple[int, int]


def look(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    map_layer: str | None = None,
    window: Pair | None = None,
    stride: Pair | None = None,
    baseline: Any = 0.0,
    chunk: int = 16,
) -> Seen:
    """The panels of the paper's Figure 7 at once; map_layer: whose strongest map to follow, None: the last."""
    images = scores.check_images(images)
    map_layer = map_layer or layers.last_map(scores.net_of(model, variables, images))
    sizes = {'window': window, 'stride': stride, 'baseline': baseline, 'chunk': chunk}
    return _look(model, variables, images, targets, layer, map_layer, **sizes)


def _look(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any,
    layer: str | None,
    map_layer: str | None,
    *,
    window: Pair | None,
    stride: Pair | None,
    baseline: Any,
    chunk: int,
) -> Seen:
    if chunk < 1:
        raise CnnJaxError(f'chunk: {chunk} given; it is at least 1')
    images = scores.check_images(images)
    (height, width), (down, right) = _sizes(images.shape[1:3], window, stride)
    targets = mixtures.resolve(model, variables, images, targets, layer)
    count = (ceil((images.shape[1] - height) / down) + 1, ceil((images.shape[2] - width) / right) + 1)
    image, row, column = (part.ravel() for part in np.mgrid[: len(images), : count[0], : count[1]])
    baselines = jnp.broadcast_to(jnp.asarray(baseline, images.dtype), images.shape)
    run = functools.partial(
        scores.precisely(_covered), scores.Static(model), variables, images, baselines, targets,
        layer=layer, map_layer=map_layer, window=(height, width),
    )  # fmt: skip
    whole = run(np.arange(len(images)), np.full(len(images), -height), np.full(len(images), -width), None)
    channel = jnp.argmax(whole['sums'], -1) if map_layer else None

    def covered(image, row, column):
        return run(image, row * down, column * right, channel)

    found = jax.device_get(scores.in_chunks(covered, (image, row, column), chunk))
    grid = {name: values.reshape(len(images), *count) for name, values in found.items()}
    drops = np.asarray(whole['score'])[:, None, None] - grid['score']
    spread = _spread(drops, images.shape, (height, width), (down, right))
    chances, labels, sums = (grid.get(name, np.zeros(0)) for name in ('probability', 'label', 'sums'))
    return Seen(spread, grid['score'], chances, labels, sums, map_layer, (height, width), (down, right))


@functools.partial(jax.jit, static_argnames=('static', 'layer', 'map_layer', 'window'))
def _covered(static, variables, images, baselines, targets, image, top, left, channel, *, layer, map_layer, window):
    """Runs images with one window covered each: rows top to top + window, likewise columns; all outside: none."""
    rows = jnp.arange(images.shape[1])[None, :, None, None] - top[:, None, None, None]
    columns = jnp.arange(images.shape[2])[None, None, :, None] - left[:, None, None, None]
    inside = (rows >= 0) & (rows < window[0]) & (columns >= 0) & (columns < window[1])
    inputs = jnp.where(inside, baselines[image], images[image])
    net = layers.trace(static.model, variables, inputs)
    if map_layer is None:
        outputs = net.run(variables, inputs, [net.output(layer)])[0]
        return {'score': _picked(outputs, scores.seeds(outputs, targets[image]))}
    reads = [net.output(layer), net.output(None), net.output(map_layer)]
    outputs, classes, maps = net.run(variables, inputs, reads)
    seed = scores.seeds(outputs, targets[image])
    sums = jnp.sum(maps, (1, 2))  # (rows, channels)
    if channel is not None:
        sums = jnp.take_along_axis(sums, channel[image][:, None], -1)[:, 0]
    chances = jnp.sum(seed * jax.nn.softmax(classes), -1) if layer is None else jnp.full(len(image), jnp.nan)
    return {
        'score': _picked(outputs, seed),
        'probability': chances,
        'label': jnp.argmax(classes, -1).astype(jnp.int32),
        'sums': sums,
    }


def _picked(outputs: jax.Array, seed: jax.Array) -> jax.Array:
    wide = jnp.promote_types(outputs.dtype, jnp.float32)
    return jnp.sum((seed * outputs).reshape(len(outputs), -1), -1, dtype=wide)


def _sizes(image: Sequence[int], window: Pair | None, stride: Pair | None) -> tuple[tuple[int, int], tuple[int, int]]:
    sizes = _pair(window) if window is not None else (max(1, image[0] // 4), max(1, image[1] // 4))
    steps = _pair(stride) if stride is not None else (max(1, sizes[0] // 2), max(1, sizes[1] // 2))
    for side in (0, 1):
        if not 1 <= steps[side] <= sizes[side] <= image[side]:
            raise CnnJaxError(
                f'occlusion: window={sizes}, stride={steps} given on images of {tuple(image)}; '
                'needed: 1 <= stride <= window <= image'
            )
    return sizes, steps


def _pair(value: Pair) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def _spread(drops: np.ndarray, shape: tuple[int, ...], window: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """The mean drop of the windows that cover each pixel, (batch, height, width, channels)."""
    total, covers = np.zeros(shape[:3], drops.dtype), np.zeros(shape[1:3], drops.dtype)
    for row in range(drops.shape[1]):
        for column in range(drops.shape[2]):
            top, left = row * stride[0], column * stride[1]
            area = (slice(top, top + window[0]), slice(left, left + window[1]))
            total[:, *area] += drops[:, row, column, None, None]
            covers[area] += 1
    return np.broadcast_to((total / covers)[..., None], shape).copy()
