"""How a net came to be what it is: its filters, maps, units, scores and class images at each step of its history."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax.report.microscope import class_images, kernels, space
from cnn_jax.report.microscope.activity import (
    Watched,
    averaged,
    correlations,
    factor_to,
    maps_of,
    watch,
)
from cnn_jax.report.microscope.judged import Judged, shares_of
from cnn_jax.report.microscope.look import History
from cnn_jax.report.microscope.scripts import pack, rounded
from cnn_jax.report.microscope.units import MOST_UNITS
from cnn_jax.tasks.run import Run
from cnn_jax.visualize.engine.examples import Examples

MAP_BYTES = 3 << 17  # of all maps that are kept
MOST_IMAGES, MOST_MAPS, MOST_NUMBERS = 6, 16, 64  # images with maps; maps of a layer, or numbers of a vector
BORN = 0.5  # share of its correlation in the end with which a unit is born
MOST_SCORES = 5  # classes of an image


class Step(NamedTuple):
    """What is seen at a step."""

    watched: Watched
    maps: dict[str, np.ndarray]
    filters: np.ndarray | None  # (units, inputs, height, width)


class Pages(NamedTuple):
    """What the other pages show, which this one keeps to.

    Attributes:
        watched: the net as it is in the end.
        judged: what is right of the images.
        shapes: of the kept maps of each layer, (height, width, channels).
        chosen: places of the images with maps, among those that were watched.
        vector_size: see `activity.watch`.
        painted: the images of classes; where none are made, the reason.
    """

    watched: Watched
    judged: Judged
    shapes: Mapping[str, tuple[int, int, int]]
    chosen: np.ndarray
    vector_size: int
    painted: class_images.Plan | str


def about_training(
    run: Run, examples: Examples, history: History, pages: Pages, *, told: Callable[[str], None]
) -> dict[str, Any]:
    """The values of `training.js`.

    Parameters are arguments of the programs that look at the images and that make some, so that all steps share them.
    A step that cannot be read, or at which the net gives what is no number, is left out; `failed` says why.

    told: hears what is looked at.
    """
    names, steps = tuple(pages.shapes), history.steps()
    images = pages.chosen[: _images(pages.shapes, len(steps))]
    shown = space.first_of(pages.watched)
    found: dict[int, Step] = {}
    failed = []
    for step in steps:
        told(f'step {step} of its training')
        try:
            variables = jax.device_put(history.read(step, run.variables))
            vectors = {names[shown]: pages.vector_size}
            watched = watch(run.model, variables, examples, names, vectors=vectors)
        except ValueError as error:
            failed.append(f'step {step}: {error}')
            continue
        maps = maps_of(run.model, variables, examples.only(pages.watched.rows[images]), names)
        found[step] = Step(watched, {name: _few(maps[name]) for name in names}, _filters(run, variables, names))
    of_classes = class_images.about_classes(run, history, list(found), pages.painted, told=told)
    return _script(run, found, pages, images) | {'classes': of_classes, 'failed': failed, 'layer': names[shown]}


def _images(shapes: Mapping[str, tuple[int, int, int]], num_steps: int) -> int:
    """How many images have maps: as many as fit, one at least."""
    numbers = [height * width * _most(height * width, channels) for height, width, channels in shapes.values()]
    return int(np.clip(MAP_BYTES // max(1, sum(numbers) * num_steps), 1, MOST_IMAGES))


def _most(places: int, channels: int) -> int:
    return min(channels, MOST_NUMBERS if places == 1 else MOST_MAPS)


def _few(maps: np.ndarray) -> np.ndarray:
    """The first maps, (images, channels, height, width), each of at most `space.LARGEST` places to a side."""
    small = averaged(maps, factor_to(maps, space.LARGEST))
    return small[..., : _most(small.shape[1] * small.shape[2], small.shape[3])].transpose(0, 3, 1, 2)


def _filters(run: Run, variables: Mapping[str, Any], names: Sequence[str]) -> np.ndarray | None:
    """The kernels of the first layer that has some, where it reads the image."""
    for name in names:
        kernel = kernels.kernel_of(variables, name, None)
        if kernel is None:
            continue
        reads_image = kernel.shape[2] == run.input_shape[2] and kernel.shape[2] in (1, 3)
        return np.asarray(kernel)[..., :MOST_UNITS].transpose(3, 2, 0, 1) if reads_image else None
    return None


def _script(run: Run, found: Mapping[int, Step], pages: Pages, images: np.ndarray) -> dict[str, Any]:
    seen = list(found.values())
    if not seen:
        return {'steps': []}
    judged, names = pages.judged, list(pages.shapes)
    outputs = np.stack([one.watched.outputs for one in seen])
    filters = [one.filters for one in seen if one.filters is not None]
    return {
        'steps': list(found),
        'right': _right(outputs, pages.watched.labels) if judged.of_one_class else None,
        'dead': [[int(one.watched.layers[name].dead.sum()) for one in seen] for name in names],
        'dead_units': [[_dead(one.watched, name) for one in seen] for name in names],
        'means': [pack(np.stack([_means(one.watched, name) for one in seen])) for name in names],
        'units': [len(seen[0].watched.layers[name].dead) for name in names],
        'images': pages.watched.rows[images].tolist(),
        'scores': [scores(run, outputs[:, image], len(judged.classes)) for image in images],
        'maps': [pack(np.stack([one.maps[name] for one in seen])) for name in names],
        'filters': pack(np.stack(filters)) if len(filters) == len(seen) else None,
        'planes': planes([next(iter(one.watched.vectors.values())) for one in seen]),
        'births': [about_births([one.watched for one in seen], name, judged.shows) for name in names],
    }


def _dead(watched: Watched, name: str) -> list[int]:
    return np.flatnonzero(watched.layers[name].dead[:MOST_UNITS]).tolist()


def _means(watched: Watched, name: str) -> np.ndarray:
    return watched.layers[name].means[:, :MOST_UNITS].mean(0)


def _right(outputs: np.ndarray, labels: np.ndarray) -> list[Any]:
    return rounded((outputs.argmax(2) == labels).mean(1))


def scores(run: Run, outputs: np.ndarray, num_classes: int) -> list[list[list[Any]]]:
    """[class, probability] of an image at each step, of the likeliest classes in the end; outputs: (steps, classes).

    None where the scores are of no classes.
    """
    probabilities = shares_of(run, outputs, num_classes)
    if probabilities is None:
        return []
    likeliest = np.argsort(-probabilities[-1], kind='stable')[:MOST_SCORES]
    return [[[int(one), rounded(step[one : one + 1])[0]] for one in likeliest] for step in probabilities]


def planes(vectors: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """The first two principal components of (images, features) at each step, turned to lie as at the step after it.

    `points` have a mean square of 1, for the spread of the features changes by orders of magnitude; `spread` is the
    root of what it was, and `variance` its shares on the two axes before they were turned.
    """
    found: list[dict[str, Any]] = []
    after = None
    for values in reversed(vectors):
        plane = space.principal(values)
        spread = float(np.sqrt(np.square(plane.points).sum(1).mean()))
        points = plane.points / (spread or 1.0)
        after = points if after is None else space.aligned(points, after)
        found.append(
            {'points': rounded(after, 4), 'spread': float(f'{spread:.4g}'), 'variance': rounded(plane.variance)}
        )
    return found[::-1]


def about_births(watched: Sequence[Watched], name: str, shows: np.ndarray) -> dict[str, Any] | None:
    """Of each unit of a layer its correlation at each step with the class that it goes with best in the end.

    `correlations` (units, steps), packed; `classes` (units,); `born` (units,): the number of the step from which on the
    correlation is at least half of what it is in the end; None for a unit without any.

    shows: bool (images, classes); of no classes, None is returned.
    """
    if not shows.shape[1]:
        return None
    shown = min(MOST_UNITS, watched[0].layers[name].means.shape[1])
    every = np.stack([correlations(one.layers[name].means[:, :shown], shows) for one in watched])
    classes = every[-1].argmax(0)
    found = every[:, classes, np.arange(shown)].T
    born = births(found)
    return {
        'correlations': pack(found),
        'classes': classes.tolist(),
        'born': [None if step < 0 else int(step) for step in born],
    }


def births(correlations: np.ndarray) -> np.ndarray:
    """The number of the step from which on each unit has half of its last correlation, (units,); -1 where that is 0."""
    last = correlations[:, -1:]
    below = correlations < BORN * last
    steps = np.arange(correlations.shape[1])
    return np.where(last[:, 0] > 0, np.where(below, steps + 1, 0).max(1), -1)
