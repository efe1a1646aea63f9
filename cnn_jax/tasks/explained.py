"""What a picture explains of one image: a number among the outputs of a net, and its words."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError


class Explained(NamedTuple):
    """A number among the scores of one image.

    Attributes:
        target: a class of (classes,); (row, column, channel) of maps; or a bool array in the shape of the scores, of
            which it is the sum over those that are true.
        what: the words for it that fit every image.
        about: what it is on this image; '' where `what` says all.
    """

    target: Any
    what: str
    about: str = ''


def of_classes(outputs: Any, unit: int | None, class_names: Sequence[str]) -> Explained:
    """The score of a class, of maps at its strongest place; None: the highest of all. For arguments see `Task`."""
    scores = np.asarray(outputs['scores'] if isinstance(outputs, Mapping) else outputs)
    check_unit(unit, scores.shape[-1], 'a class')
    target = strongest(scores, unit) if scores.ndim in (1, 3) else unit
    if unit is None:
        return Explained(target, 'the highest score')
    return Explained(target, f'the score of class {class_names[unit] if unit < len(class_names) else unit}')


def check_unit(unit: int | None, count: int, called: str) -> None:
    """Raises CnnJaxError for a unit that is not below `count`; `called` is what one is called."""
    if unit is not None and not 0 <= unit < count:
        raise CnnJaxError(f'unit: {unit} given; {called} is 0 to {count - 1}')


def strongest(scores: np.ndarray, channel: int | None = None) -> Any:
    """Where scores (classes,) or (rows, columns, channels) are highest, the first of equals; `channel`: there alone."""
    if channel is None:
        found = np.unravel_index(np.argmax(scores), scores.shape)
    else:
        found = (*np.unravel_index(np.argmax(scores[..., channel]), scores.shape[:-1]), channel)
    place = np.array(found, np.int32)
    return place if scores.ndim > 1 else place[0]
