"""Occlusion: what the score loses when a window of the image is covered. Zeiler and Fergus 2013, arXiv:1311.2901."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import last, layers, scores
from cnn_jax.visualize.engine import mixtures
from cnn_jax.visualize.engine.windows import Pair, Windows, make_windows

UNIT = 'score'  # of the numbers of a map


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
    images = scores.check_images(images)
    windows = make_windows(images.shape[1:3], window, stride)
    targets = mixtures.resolve(model, variables, images, targets, layer, chunk=chunk)
    run = _covering(
        model, variables, images, targets, baseline, layer=layer, map_layer=None, window=windows.size, probability=None
    )
    return jnp.asarray(_seen(run, images, windows, chunk, None).drop_map)


Probability = Callable[[jax.Array], jax.Array] | None


class Seen(NamedTuple):
    """What covering shows, as arrays with a value for each window, (batch, rows, columns)."""

    drop_map: np.ndarray  # (batch, height, width, channels), as `attribute` returns
    score: np.ndarray  # of the target while the window is covered
    probability: np.ndarray  # of the target; NaN for a unit of a layer, or where the net gives none
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
    probability: Probability = jax.nn.softmax,
    chunk: int = 16,
) -> Seen:
    """The panels of the paper's Figure 7 at once.

    map_layer: whose strongest map to follow, None: the last. probability: scores (batch, classes) to probabilities, the
    task's own; None: there are none.
    """
    images = scores.check_images(images)
    windows = make_windows(images.shape[1:3], window, stride)
    net = scores.net_of(model, variables, images)
    kind = net.program.types[net.output(None)]
    if len(kind.shape) != 2:
        raise CnnJaxError(
            f'occlusion_panels shows which class wins, and this net answers with scores {kind.shape}; use occlusion'
        )
    targets = mixtures.resolve(model, variables, images, targets, layer, chunk=chunk)
    map_layer = map_layer or last.last_map(net)
    static: dict[str, Any] = {
        'layer': layer,
        'map_layer': map_layer,
        'window': windows.size,
        'probability': probability,
    }
    run = _covering(model, variables, images, targets, baseline, **static)
    return _seen(run, images, windows, chunk, map_layer)


def _covering(
    model: Any, variables: Any, images: jax.Array, targets: Any, baseline: Any, **static: Any
) -> Callable[..., dict[str, jax.Array]]:
    """`_covered` of these images: (image, top, left, channel) to what the net says, one window each."""
    baselines = jnp.broadcast_to(jnp.asarray(baseline, images.dtype), images.shape)
    run = scores.precisely(_covered)
    return functools.partial(run, scores.Static(model), variables, images, baselines, targets, **static)


def _seen(
    run: Callable[..., dict[str, jax.Array]], images: jax.Array, windows: Windows, chunk: int, map_layer: str | None
) -> Seen:
    batch, outside = len(images), np.full((2, len(images)), -windows.size[0] - windows.size[1])
    nowhere, places = (np.arange(batch), *outside), windows.places(batch)
    if map_layer is None:  # one program for both
        joined = tuple(map(np.concatenate, zip(nowhere, places, strict=True)))
        made = scores.in_chunks(lambda *place: run(*place, None), joined, chunk)
        whole, found = ({name: one[part] for name, one in made.items()} for part in np.s_[:batch, batch:])
    else:
        whole = scores.in_chunks(lambda *place: run(*place, None), nowhere, chunk)
        channel = jnp.argmax(whole['sums'], -1)
        found = scores.in_chunks(lambda *place: run(*place, channel), places, chunk)
    grid = {name: np.asarray(values).reshape(batch, *windows.counts) for name, values in found.items()}
    drops = windows.averaged(np.asarray(whole['score'])[:, None, None] - grid['score'])
    drop_map = np.broadcast_to(drops[..., None], images.shape).copy()
    chances, labels, sums = (grid.get(name, np.zeros(0)) for name in ('probability', 'label', 'sums'))
    return Seen(drop_map, grid['score'], chances, labels, sums, map_layer, windows.size, windows.stride)


@functools.partial(jax.jit, static_argnames=('static', 'layer', 'map_layer', 'window', 'probability'))
def _covered(
    static, variables, images, baselines, targets, image, top, left, channel, *, layer, map_layer, window, probability
):
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
    chances = jnp.full(len(image), jnp.nan)
    if probability is not None and layer is None:
        chances = _picked(probability(classes), seed)
    return {
        'score': _picked(outputs, seed),
        'probability': chances,
        'label': jnp.argmax(classes, -1).astype(jnp.int32),
        'sums': sums,
    }


def _picked(outputs: jax.Array, seed: jax.Array) -> jax.Array:
    wide = jnp.promote_types(outputs.dtype, jnp.float32)
    return jnp.sum((seed * outputs).reshape(len(outputs), -1), -1, dtype=wide)
