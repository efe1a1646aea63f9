"""What of an image counted for a class: maps of several methods, each beside that of a net with shuffled weights."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope.activity import Watched, averaged, factor_to
from cnn_jax.report.microscope.scripts import pack, rounded
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine import pictures
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.shuffling import shuffled
from cnn_jax.visualize.engine.windows import Windows, make_windows
from cnn_jax.visualize.honesty import rank_correlation

METHODS = ('gradient', 'guided_backprop', 'grad_cam', 'occlusion')
MOST_TARGETS = 4  # classes of an image: the right one and the likeliest
MOST_IMAGES, MOST_MACS = 16, 4e12
MOST_SIDE = 32  # pixels of a kept map; larger ones are averaged
TOP = 5  # classes that are listed for a covered image
SEED = 0  # of the shuffled weights


def about_maps(
    run: Run, examples: Examples, watched: Watched, chosen: np.ndarray, macs: int, told: Callable[[str], None]
) -> dict[str, Any]:
    """The values of `maps.js`.

    `rows` of the images; `targets` (images, classes); `methods` by name: of each `maps` and `twins`, (images, targets)
    of packed arrays, and `correlation`, Spearman's of the magnitudes of both, or `left_out`, the reason. `windows`: the
    size, the stride, and `covered`, (images, windows, 5) of [class, probability].

    Args:
        run: the net.
        examples: the images.
        watched: what the net says of them.
        chosen: the places of those whose maps are kept elsewhere.
        macs: of one image.
        told: hears of the methods.
    """
    windows = make_windows(run.input_shape[:2], None, None)
    of_one = 2 * macs * (int(np.prod(windows.counts)) + 9 * MOST_TARGETS)
    places = _spread(chosen, watched, max(1, min(MOST_IMAGES, int(MOST_MACS / max(1, of_one)))))
    outputs = watched.outputs[places]
    targets = np.array([_targets(row, label) for row, label in zip(outputs, watched.labels[places], strict=True)])
    images = np.concatenate(
        [np.asarray(examples.inputs(part))[: len(part)] for _, part, _ in examples.only(watched.rows[places]).batches()]
    )
    nets = (run.variables, shuffled(run.variables, None, SEED))
    told('covered images')
    covered = [_covered(run, variables, images, windows) for variables in nets]
    methods: dict[str, Any] = {}
    for name in METHODS[:-1]:
        told(name)
        try:
            methods[name] = _packed([_attributed(run, name, variables, images, targets) for variables in nets])
        except CnnJaxError as error:  # no ReLU, no maps
            methods[name] = {'left_out': str(error)}
    methods['occlusion'] = _packed([_drops(found, targets, windows) for found in covered])
    return {
        'rows': watched.rows[places].tolist(),
        'targets': targets.tolist(),
        'methods': methods,
        'windows': {'size': list(windows.size), 'stride': list(windows.stride), 'counts': list(windows.counts)},
        'covered': _likeliest(run, covered[0][:, 1:]),
    }


def _spread(chosen: np.ndarray, watched: Watched, most: int) -> np.ndarray:
    """Some of the chosen images, mistakes and right ones in turn."""
    right = watched.outputs[chosen].argmax(1) == watched.labels[chosen]
    turns = np.empty(len(chosen), int)
    turns[right], turns[~right] = np.arange(right.sum()), np.arange((~right).sum())
    return np.sort(chosen[np.argsort(turns, kind='stable')][:most])


def _targets(outputs: np.ndarray, label: int) -> list[int]:
    """The likeliest classes, and the right one among them; of all images as many."""
    order = np.argsort(-outputs, kind='stable')[:MOST_TARGETS].tolist()
    return order if int(label) in order else [*order[:-1], int(label)]


def _attributed(run: Run, method: str, variables: Any, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The maps (images, targets, height, width), summed over the colours."""
    attribute = importlib.import_module(f'cnn_jax.visualize.{method}').attribute
    count = targets.shape[1]
    found = attribute(run.model, variables, np.repeat(images, count, 0), targets.ravel(), chunk=64)
    maps = pictures.flat(np.asarray(found, np.float32))
    return maps.reshape(len(images), count, *maps.shape[1:])


def _covered(run: Run, variables: Any, images: np.ndarray, windows: Windows) -> np.ndarray:
    """The scores of each image whole and with each window covered by 0, (images, 1 + windows, classes)."""
    rows, columns = (np.arange(size) for size in windows.image)
    found = []
    for image in images:
        inputs = [image]
        for row, column in np.ndindex(*windows.counts):
            top, left = row * windows.stride[0], column * windows.stride[1]
            inside = ((rows >= top) & (rows < top + windows.size[0]))[:, None]
            inside = inside & ((columns >= left) & (columns < left + windows.size[1]))[None]
            inputs.append(np.where(inside[..., None], np.float32(0), image))
        found.append(np.asarray(scores.read(run.model, variables, np.stack(inputs), (None,))[0], np.float32))
    return np.stack(found)


def _drops(covered: np.ndarray, targets: np.ndarray, windows: Windows) -> np.ndarray:
    """What the score of each target loses, as `occlusion.attribute` has it, (images, targets, height, width)."""
    picked = np.take_along_axis(covered, targets[:, None, :], 2)  # (images, 1 + windows, targets)
    drops = (picked[:, :1] - picked[:, 1:]).transpose(0, 2, 1)
    maps = windows.averaged(drops.reshape(-1, *windows.counts))
    return maps.reshape(*targets.shape, *windows.image)


def _likeliest(run: Run, outputs: np.ndarray) -> list[list[list[list[Any]]]]:
    """The likeliest classes with their probabilities, (images, windows, 5)."""
    assert run.task.probabilities is not None  # see `microscope.suits`
    probabilities = np.asarray(run.task.probabilities(outputs.reshape(-1, outputs.shape[-1])), np.float64)
    order = np.argsort(-probabilities, 1, kind='stable')[:, :TOP]
    listed = [
        [[int(one), rounded(row[one : one + 1], 3)[0]] for one in best]
        for row, best in zip(probabilities, order, strict=True)
    ]
    count = outputs.shape[1]
    return [listed[first : first + count] for first in range(0, len(listed), count)]


def _packed(pair: list[np.ndarray]) -> dict[str, Any]:
    maps, twins = pair
    correlation = [
        [rank_correlation(np.abs(one), np.abs(other)) for one, other in zip(*rows, strict=True)]
        for rows in zip(maps, twins, strict=True)
    ]
    kept = {
        name: [[pack(one) for one in row] for row in _small(found)]
        for name, found in (('maps', maps), ('twins', twins))
    }
    return {**kept, 'correlation': rounded(np.array(correlation), 2)}


def _small(found: np.ndarray) -> np.ndarray:
    """Maps (images, targets, height, width) of at most `MOST_SIDE` places to a side."""
    maps = np.moveaxis(found, 1, -1)
    return np.moveaxis(averaged(maps, factor_to(maps, MOST_SIDE)), -1, 1)
