"""Labels belong to names: the head of another run follows its classes' names, not their numbers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment


def by_name(
    experiment: Experiment,
    variables: dict[str, Any],
    like: dict[str, Any],
    names: Sequence[str],
    *,
    what: str,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """The variables with a head for the classes of `experiment`: its rows in their order, or anew for other classes.

    Args:
        experiment: what is trained or evaluated.
        variables: taken from another run.
        like: the initial variables; shapes alone where nothing may stay untrained.
        names: the classes of the other run.
        what: names that run in lines and errors.
        report: takes one line.

    Raises:
        CnnJaxError: the classes are others, and nothing may stay untrained.
    """
    own = experiment.data.class_names
    if len(names) != len(own) or tuple(names) == own or not own:  # of another number the head has started anew already
        return variables
    axes = class_axes(experiment)
    if sorted(names) == sorted(own):
        report(f'the classes of {what} are in another order; the head follows their names')
        order = [list(names).index(name) for name in own]
        return jax.tree.map(
            lambda leaf, axis: leaf if axis is None else np.take(leaf, order, axis), variables, axes, is_leaf=_is_none
        )
    other = next(name for name in own if name not in names)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(like)):
        raise CnnJaxError(
            f'the classes of {what} are others: it does not know {other!r}; evaluate it on images of its own classes, '
            'or train the head first'
        )
    report(f'the classes of {what} are others ({other!r} is new); the head starts anew')
    return jax.tree.map(
        lambda leaf, axis, first: leaf if axis is None else first, variables, axes, like, is_leaf=_is_none
    )


def _is_none(leaf: Any) -> bool:
    return leaf is None


def class_axes(experiment: Experiment) -> Any:
    """For each variable the axis that counts classes; None where there is none.

    Raises:
        CnnJaxError: the model has no `num_classes`, so that its head cannot be found.
    """
    model: Any = experiment.model
    if not isinstance(getattr(model, 'num_classes', None), int):
        raise CnnJaxError(
            f'the classes of the other run are others, and {type(model).__name__} has no field num_classes by which '
            'its head could be found; start from a weights file, or without --init_from'
        )
    wider = dataclasses.replace(experiment, model=model.clone(num_classes=model.num_classes + 1))
    here, there = (made.state_shapes().variables for made in (experiment, wider))

    def axis_of(leaf: Any, other: Any) -> int | None:
        changed = [axis for axis, (one, two) in enumerate(zip(leaf.shape, other.shape, strict=True)) if one != two]
        return changed[0] if changed else None

    return jax.tree.map(axis_of, here, there)
