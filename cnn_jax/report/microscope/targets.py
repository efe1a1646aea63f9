"""What is explained of an image on the page: its likeliest classes, or what the task of the run explains."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope.judged import Judged, shares_of
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine.explaining import rows_of

MOST_TARGETS = 4  # of an image
MOST_UNITS = 64  # that a task is asked for
OWN_ANSWER = -1


class Target(NamedTuple):
    """A number among the scores of an image.

    Attributes:
        number: of the class, or what `--unit` takes; -1: the answer of the net.
        words: for it.
        target: of this image, as `tracing.scores` takes it.
    """

    number: int
    words: str
    target: Any


def of_images(
    run: Run, images: np.ndarray, outputs: np.ndarray, shows: np.ndarray, judged: Judged, class_names: Sequence[str]
) -> list[list[Target]]:
    """What is explained of each image.

    Args:
        run: the net.
        images: model inputs.
        outputs: the scores (images, classes), or (images, 0).
        shows: (images, classes), the rows of `judged` for them.
        judged: knows the classes.
        class_names: of the data; of a task that is asked, the choices.
    """
    if shares_of(run, outputs, len(judged.classes)) is not None:
        return [
            [Target(one, judged.classes[one], np.int32(one)) for one in classes_of(row, seen)]
            for row, seen in zip(outputs, shows, strict=True)
        ]
    said = rows_of(jax.device_get(scores.outputs(run.model, run.variables, images, chunk=16)))
    return [of_task(run, one, class_names) for one in said]


def classes_of(outputs: np.ndarray, shows: np.ndarray) -> list[int]:
    """The likeliest classes, and of those that the image shows one at least; of all images as many."""
    order = np.argsort(-outputs, kind='stable')[:MOST_TARGETS].tolist()
    right = np.flatnonzero(shows).tolist()
    return order if not right or set(right) & set(order) else [*order[:-1], right[0]]


def of_task(run: Run, outputs: Any, class_names: Sequence[str]) -> list[Target]:
    """The net's own answer, then the first units that this image has; of images of any size these are pixels: none.

    Raises: CnnJaxError where the net has no answer.
    """
    found: list[Target] = []
    for unit in (None, *range(0 if run.task.any_size else MOST_UNITS)):
        try:
            one = run.task.explained(outputs, unit, class_names)
        except CnnJaxError:
            if unit is None:
                raise
            continue  # a class of which there is no pixel; or one more than there are
        if one.target is None or any(np.array_equal(one.target, known.target) for known in found):
            continue
        words = f'{one.what}: {one.about}' if one.about else one.what
        found.append(Target(OWN_ANSWER if unit is None else unit, words, one.target))
        if len(found) == MOST_TARGETS:
            break
    return found
