"""TODO."""

from typing import NamedTuple

import numpy as np


class Evaluation(NamedTuple):
    """What a model does on a split.

    Attributes:
        results: arrays (images,) in the order of the split: `index` (the row in the split), `label`, `prediction`,
            `probability`, `loss`, `rank`.
        summary: `loss`, `top1`, `top5`, `images`.
        confusion: counts (classes, classes), rows are true classes.
        unread: images that could not be read; nothing here counts them.
    """

    results: dict[str, np.ndarray]
    summary: dict[str, float]
    confusion: np.ndarray
    unread: int = 0


def unread_lines(unread: int, counted: int) -> list[str]:
    """A line that says how many test images are not counted; none where all are."""
    verb = 'is' if unread == 1 else 'are'
    return [f'{unread} of {unread + counted} test images could not be read and {verb} not counted'] if unread else []
