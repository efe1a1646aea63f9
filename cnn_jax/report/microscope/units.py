"""What the page shows of the units of a layer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.describe import Layer
from cnn_jax.report.microscope import kernels
from cnn_jax.report.microscope.activity import Activity, Watched, correlations, strongest
from cnn_jax.report.microscope.boxes import boxes_of
from cnn_jax.report.microscope.judged import Judged
from cnn_jax.report.microscope.scripts import pack, rounded
from cnn_jax.tasks.run import Run

MOST_UNITS = 128  # of a layer; the page says how many there are
NUM_PATCHES = 8  # of a unit
NUM_BINS = 16  # of its histogram
MOST_CLASSES = 12  # in its histogram: those that it is strongest for


class Top(NamedTuple):
    """The patches that excite each unit most, (patches, units): places among the images, values, boxes (.., 4)."""

    images: np.ndarray
    values: np.ndarray
    boxes: np.ndarray  # top, left, bottom, right in pixels of what the net is shown, the ends exclusive


def no_patches() -> Top:
    return Top(np.zeros((0, 0), int), np.zeros((0, 0)), np.zeros((0, 0, 4), int))


def top_patches(model: Any, variables: Any, input_shape: tuple[int, int, int], layer: str, activity: Activity) -> Top:
    """For each unit the images with its highest peaks, one patch of each: exactly what the strongest place sees."""
    units = min(MOST_UNITS, activity.peaks.shape[1])
    images = strongest(activity, NUM_PATCHES)[:, :units]
    values = np.take_along_axis(activity.peaks[:, :units], images, 0)
    places = np.take_along_axis(activity.places[:, :units], images[..., None], 0)
    boxes = boxes_of(model, variables, input_shape, layer, places.reshape(-1, 2))
    return Top(images, values, boxes.reshape(*images.shape, 4))


def about_layer(
    run: Run,
    layer: Layer,
    watched: Watched,
    shapes: Mapping[str, tuple[int, int, int]],
    judged: Judged,
) -> dict[str, Any]:
    """Everything of a layer but its maps and patches, as plain values.

    Where images show no classes, `selectivity` and `selective_for` are None, and the histograms have one row.
    """
    activity = watched.layers[layer.name]
    shown = min(MOST_UNITS, activity.means.shape[1])
    found = correlations(activity.means[:, :shown], judged.shows)
    source = watched.sources.get(layer.name)
    return {
        'name': layer.name,
        'kind': layer.kind,
        'units': activity.means.shape[1],
        'shown': shown,
        'source': source,
        'mean': rounded(activity.means.mean(0)[:shown]),
        'low': rounded(activity.low[:shown]),
        'high': rounded(activity.high[:shown]),
        'dead': np.flatnonzero(activity.dead[:shown]).tolist(),
        'all_dead': int(activity.dead.sum()),
        'selectivity': rounded(found.max(0)) if len(found) else None,
        'selective_for': found.argmax(0).tolist() if len(found) else None,
        'histograms': [histogram(activity.means[:, unit], judged.shows, found[:, unit]) for unit in range(shown)],
        **_weights(run, layer, shapes.get(source) if source else None, shown),
    }


def _weights(run: Run, layer: Layer, source: tuple[int, int, int] | None, shown: int) -> dict[str, Any]:
    """`kernels` (units, inputs, height, width) of what reads an image, else the `incoming` ones of the most weight."""
    kernel = kernels.kernel_of(run.variables, layer.name, source)
    if kernel is None:
        return {}
    found = kernels.incoming(kernel[..., :shown])
    norms = {'norm': rounded(found.total)}
    if kernel.shape[2] == run.input_shape[2] and kernel.shape[2] in (1, 3) and source is None:
        return {**norms, 'kernels': pack(kernel[..., :shown].transpose(3, 2, 0, 1))}
    if source is not None and kernel.shape[2] != source[2]:  # of groups: an input has another number in each
        return norms
    incoming = {'channels': found.channels.tolist(), 'norms': rounded(found.norms), 'kernels': pack(found.kernels)}
    return {**norms, 'incoming': incoming}


def histogram(values: np.ndarray, shows: np.ndarray, correlations: np.ndarray) -> dict[str, Any]:
    """How the mean activation of a unit is spread in each class.

    Args:
        values: (images,).
        shows: bool (images, classes).
        correlations: (classes,) with each class.

    Returns:
        `from` and `to` of the bins, `classes`: the `MOST_CLASSES` that it is strongest for, all where there are no
        more, and `counts` (classes, bins); without classes one row for all images, of class None.
    """
    low, high = float(values.min()), float(values.max())
    if not high > low:
        high = low + 1.0  # one value: it stands in the first bin
    order = np.argsort(-correlations, kind='stable')[:MOST_CLASSES]
    bins = np.clip(((values - low) / (high - low) * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    counts = [np.bincount(bins[shows[:, label]], minlength=NUM_BINS).tolist() for label in order]
    classes = order.tolist()
    if not classes:
        classes, counts = [None], [np.bincount(bins, minlength=NUM_BINS).tolist()]
    return {'from': float(f'{low:.4g}'), 'to': float(f'{high:.4g}'), 'classes': classes, 'counts': counts}
