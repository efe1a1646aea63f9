"""What a model did on a split: an array for each number, a row for each image."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Batch = Mapping[str, Any]
"""'image' and the fields of the rows, (batch, ...) arrays on a device, as the model and the loss are shown them."""
Results = Mapping[str, np.ndarray]
"""Arrays (images, ...) over a split, in its order: 'index' (the row in the split), 'loss', and the task's own."""


class Evaluation(NamedTuple):
    """What a model does on a split.

    Attributes:
        results: see `Results`.
        summary: the metrics of the task, the headline first, and `images`, the count.
        unread: images that could not be read; nothing here counts them.
    """

    results: dict[str, np.ndarray]
    summary: dict[str, float]
    unread: int = 0


class Told(NamedTuple):
    """A text of people and one of a net.

    Attributes:
        about: what was asked; '' where nothing was.
        people: what is right.
        net: what it says, most probable first, with a note on each, such as its probability.
        right: whether the first of these is.
        choices: of a question, in words.
    """

    about: str
    people: str
    net: Sequence[tuple[str, str]]
    right: bool
    choices: Sequence[str] = ()


def worst_of(results: Results, places: np.ndarray, most: int) -> np.ndarray:
    """Those of some places that have the highest losses, highest first; what is not a number comes first."""
    order = np.argsort(-np.nan_to_num(results['loss'][places], nan=np.inf), kind='stable')
    return places[order][:most]


def unread_lines(unread: int, counted: int) -> list[str]:
    """A line that says how many test images are not counted; none where all are."""
    verb = 'is' if unread == 1 else 'are'
    return [f'{unread} of {unread + counted} test images could not be read and {verb} not counted'] if unread else []
