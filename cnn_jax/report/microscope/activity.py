"""What the units of a net do on the images of a split: one pass, all layers at once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import scores
from cnn_jax.tracing.layers import Net
from cnn_jax.visualize.engine.examples import Examples


class Activity(NamedTuple):
    """What the channels of a layer do on some images; a vector is a map of one place.

    Attributes:
        means: (images, channels), of the map of each image.
        peaks: (images, channels), the largest of the map.
        places: (images, channels, 2), row and column of that, the first of equals.
        low, high: (channels,), the smallest and the largest value at any place of any image.
    """

    means: np.ndarray
    peaks: np.ndarray
    places: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def dead(self) -> np.ndarray:
        """(channels,) bool: the value never changes, so that the channel says nothing of the image."""
        return self.low == self.high


class Watched(NamedTuple):
    """Images, what the net says of them, and the activity of each layer.

    Attributes:
        rows: (images,), in the split.
        labels: (images,), the groups of the task.
        outputs: (images, classes), the scores; (images, 0) where they are no such scores.
        layers: by name, in the order of their calls.
        sources: of a layer the earlier layer whose output it reads, as it is or flattened; only where that is sure.
        vectors: of a layer its output as (images, features), where that was asked for.
    """

    rows: np.ndarray
    labels: np.ndarray
    outputs: np.ndarray
    layers: dict[str, Activity]
    sources: dict[str, str]
    vectors: dict[str, np.ndarray]


def watch(
    model: Any, variables: Any, examples: Examples, names: Sequence[str], *, vectors: Mapping[str, int] | None = None
) -> Watched:
    """The activity of those layers on all examples, in batches, with one program.

    vectors: of which layers what is given is kept as vectors, of at most so many numbers (see `as_vectors`).

    Raises: CnnJaxError where a layer gives what is no number.
    """
    parts: dict[str, list[Activity]] = {name: [] for name in names}
    sizes = vectors or {}
    kept: dict[str, list[np.ndarray]] = {name: [] for name in sizes}
    rows, labels, outputs, sources = [], [], [], {}
    for part, images, groups in examples.batches():
        found = _read(model, variables, examples.inputs(images), names)
        for name, values in found.layers.items():
            if not np.isfinite(values).all():
                raise CnnJaxError(f'what {name} gives is not finite')
            maps = as_maps(values[: len(part)])
            parts[name].append(_of_batch(maps))
            if name in sizes:
                kept[name].append(as_vectors(maps, sizes[name]))
        sources = sources or _sources(found)
        said = found.outputs[: len(part)]
        outputs.append(said if said.ndim == 2 else np.zeros((len(part), 0), np.float32))
        rows.append(part)
        labels.append(groups)
    layers = {name: _joined(found) for name, found in parts.items()}
    joined = {name: np.concatenate(found) for name, found in kept.items()}
    return Watched(np.concatenate(rows), np.concatenate(labels), np.concatenate(outputs), layers, sources, joined)


def as_maps(values: np.ndarray) -> np.ndarray:
    """A layer's output as (images, height, width, channels)."""
    return values if values.ndim == 4 else values.reshape(len(values), 1, 1, -1)


def as_vectors(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (images, height, width, channels) as (images, features): all of it where that is `size` numbers at most.

    Of larger maps the means of the smallest squares with which it is, and at least one mean of each channel.
    """
    count, height, width, channels = maps.shape
    factor = 1
    while (height // factor) * (width // factor) * channels > size and factor < min(height, width):
        factor += 1
    return averaged(maps, factor).reshape(count, -1)


def averaged(maps: np.ndarray, factor: int) -> np.ndarray:
    """Maps (images, height, width, channels) as the means of squares of `factor` places to a side."""
    if factor == 1:
        return maps
    count, height, width, channels = maps.shape
    rows, columns = height // factor, width // factor
    cut = maps[:, : rows * factor, : columns * factor]
    return cut.reshape(count, rows, factor, columns, factor, channels).mean((2, 4))


def factor_to(maps: np.ndarray, side: int) -> int:
    """The smallest factor with which `averaged` maps have at most so many places to a side."""
    return -(-max(maps.shape[1:3]) // side)


def maps_of(model: Any, variables: Any, examples: Examples, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The maps (images, height, width, channels) of all examples, in memory: for a few images."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for part, images, _ in examples.batches():
        for name, values in _read(model, variables, examples.inputs(images), names).layers.items():
            parts[name].append(as_maps(values[: len(part)]))
    return {name: np.concatenate(found) for name, found in parts.items()}


def _of_batch(maps: np.ndarray) -> Activity:
    flat = maps.reshape(len(maps), -1, maps.shape[-1])
    place = flat.argmax(1)
    peaks = np.take_along_axis(flat, place[:, None], 1)[:, 0]
    places = np.stack(np.unravel_index(place, maps.shape[1:3]), -1)
    return Activity(flat.mean(1, dtype=np.float64), peaks, places, flat.min((0, 1)), flat.max((0, 1)))


def _joined(parts: Sequence[Activity]) -> Activity:
    means, peaks, places = (np.concatenate([part[number] for part in parts]) for number in range(3))
    low, high = np.min([part.low for part in parts], 0), np.max([part.high for part in parts], 0)
    return Activity(means, peaks, places, low, high)


class _Read(NamedTuple):
    """Of a batch: what layers return and read, by name, and the scores."""

    layers: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    outputs: np.ndarray


def _read(model: Any, variables: Any, inputs: Any, names: Sequence[str]) -> _Read:
    """Always all of it, so that one program serves all who look."""
    net = scores.net_of(model, variables, inputs)
    before = {name: number for name in names if (number := net.layer(name).input) is not None}
    said = (None,) if has_scores(net) else ()
    reads = (*names, *before.values(), *said)
    found = [np.asarray(array, np.float32) for array in scores.read(model, variables, inputs, reads)]
    count = len(names)
    layers = dict(zip(names, found[:count], strict=True))
    outputs = found[-1] if said else np.zeros((len(inputs), 0), np.float32)
    return _Read(layers, dict(zip(before, found[count:], strict=False)), outputs)


def has_scores(net: Net) -> bool:
    """Whether one of the arrays that the net returns is its scores; that of a net that paints is none."""
    try:
        net.output(None)
    except CnnJaxError:
        return False
    return True


def _sources(read: _Read) -> dict[str, str]:
    """Which earlier layer's output each layer reads: the same numbers, in the same order."""
    names, found = list(read.layers), {}
    for name, values in read.inputs.items():
        for earlier in reversed(names[: names.index(name)]):
            made = read.layers[earlier]
            if made.size == values.size and np.array_equal(made.reshape(values.shape), values):
                found[name] = earlier
                break
    return found


def class_correlations(means: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The correlation of each channel's activation with being of each class, (classes, channels), -1 to 1.

    Point-biserial: 1 where a channel has one value for the class and another for all others. Unlike the index of Morcos
    et al. 2018 (arXiv:1803.06959) it takes activations of both signs. 0 for a channel that never changes, and for a
    class that no image, or every image, is of.

    means: (images, channels); labels: (images,).
    """
    return correlations(means, labels[:, None] == np.arange(num_classes))


def correlations(means: np.ndarray, shows: np.ndarray) -> np.ndarray:
    """The same where an image may show several classes, or none; shows: bool (images, classes)."""
    means, is_of = means.astype(np.float64), shows.T.astype(np.float64)
    share = is_of.mean(1, keepdims=True)
    covariance = (is_of - share) @ (means - means.mean(0)) / len(means)
    scale = np.sqrt(share * (1 - share)) * means.std(0)
    return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 1e-12)


def strongest(activity: Activity, count: int) -> np.ndarray:
    """The places among the images of the highest peaks of each channel, (count, channels); of equals the first."""
    return np.argsort(-activity.peaks, axis=0, kind='stable')[:count]
