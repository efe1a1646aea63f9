"""What a method explains of each image: what the task says, or a unit of the layer that takes the scores' place."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax.errors import CnnJaxError, closest
from cnn_jax.tasks.explained import Explained
from cnn_jax.tasks.task import Task
from cnn_jax.tracing import layers, scores
from cnn_jax.tracing.static import Static
from cnn_jax.visualize.engine import methods
from cnn_jax.visualize.engine.subject import Subject

TOGETHER = 10  # images at a time
LISTED = 8  # classes that an error names


class Looked(NamedTuple):
    """What is explained of some images: targets as `tracing.scores` takes them, and words for them.

    Attributes:
        targets: of the scores or of the layer; None: its strongest unit.
        what: of all images.
        about: of each image, '' where `what` says all.
    """

    targets: Any
    what: str
    about: tuple[str, ...]


def unit_number(text: str, subject: Subject, method: str | None, layer: str | None) -> int:
    """The unit that was typed: a number, or the name of a class where a unit of the method is one.

    Upper and lower case are the same. method: None: a set of several.

    Raises: CnnJaxError for anything else, which says what the classes are.
    """
    if text.isdecimal() and text.isascii():
        return int(text)
    if not _explains_classes(subject.task, method, layer):
        raise CnnJaxError(f'unit: {text} given; a unit is a number here, from 0')
    found = [number for number, name in enumerate(subject.class_names) if name.lower() == text.strip().lower()]
    if len(found) > 1:
        raise CnnJaxError(
            f'unit: {text} given; several classes are called so; give a number, {", ".join(map(str, found))}'
        )
    if not found:
        numbers = {name: number for number, name in enumerate(subject.class_names)}
        near = closest(text, numbers)
        listed = [f'{numbers[name]} {name}' for name in near[:LISTED]]
        more = f' and {len(near) - LISTED} more' if len(near) > LISTED else ''
        raise CnnJaxError(
            f'unit: {text} given; no class is called so; give a name or a number of {", ".join(listed)}{more}'
        )
    return found[0]


def _explains_classes(task: Task, method: str | None, layer: str | None) -> bool:
    """Whether a unit is a class: of the task, and not of `layer`, or of the layer that a method takes by itself."""
    if not task.units_are_classes or method is None:
        return task.units_are_classes and layer is None
    own = {'unit', 'layer'} <= set(methods.parameters(getattr(methods.load(method), 'visualize', lambda: None)))
    return methods.scored_layer(method, layer) is None and not own


def answers(subject: Subject, images: jax.Array) -> Any:
    """The outputs of the model, on the host; None where nobody knows which of several are the scores."""
    returned = scores.net_of(subject.model, subject.variables, images).returned
    if len(returned) > 1 and layers.SCORES not in returned:
        return None
    return jax.device_get(scores.outputs(subject.model, subject.variables, images, chunk=TOGETHER))


def looked_at(subject: Subject, outputs: Any, titles: Sequence[str], layer: str | None, unit: int | None) -> Looked:
    """What is explained of the images whose outputs these are.

    layer: that takes the place of the scores. titles: of the images, for the error of a unit that one has not.
    """
    if layer is not None:
        what = f'the strongest unit of {layer}' if unit is None else f'unit {unit} of {layer}'
        return Looked(unit, what, ('',) * len(titles))
    scores.net_of(subject.model, subject.variables, subject.images).output(None)  # which says why not
    found = [_explained(subject, one, title, unit) for one, title in zip(rows_of(outputs), titles, strict=True)]
    targets = None if found[0].target is None else np.stack([one.target for one in found])
    return Looked(targets, found[0].what, tuple(one.about for one in found))


def _explained(subject: Subject, outputs: Any, title: str, unit: int | None) -> Explained:
    try:
        return subject.task.explained(outputs, unit, subject.class_names)
    except CnnJaxError as error:
        raise CnnJaxError(f'{error} ({title})') from error


def targets_of_checks(subject: Subject, images: jax.Array, unit: int | None) -> Any:
    """Targets of the images by which a method is judged: `unit` is that of the first, the others' are their answers."""
    outputs, titles = answers(subject, images), [subject.titles[0], *['a test image'] * (len(images) - 1)]
    targets = looked_at(subject, outputs, titles, None, None).targets
    if unit is None or targets is None:
        return unit if targets is None else targets
    first = jax.tree.map(lambda values: values[:1], outputs)
    return np.concatenate([looked_at(subject, first, titles[:1], None, unit).targets, targets[1:]])


def said(task: Task, outputs: Any, class_names: Sequence[str]) -> list[str]:
    """What the net answers of each image, in words."""
    read = jax.device_get(_read(Static(task), outputs))
    return [task.answer(one, class_names) for one in rows_of(read)]


@functools.partial(jax.jit, static_argnums=0)
def _read(static: Static, outputs: Any) -> Any:
    return static.model.read(outputs)


def rows_of(outputs: Any) -> list[Any]:
    """Arrays (batch, ...) as those of each image."""
    count = len(jax.tree.leaves(outputs)[0])
    return [jax.tree.map(lambda values, row=row: values[row], outputs) for row in range(count)]
