"""Two classifiers on the same images: the difference of their accuracies, and whether it is more than noise."""

from math import sqrt
from typing import NamedTuple

import numpy as np

Z = 1.959964  # of a 95 % interval


class Paired(NamedTuple):
    """A run against another on the same images.

    Attributes:
        both: images that both classify right.
        gained: only this run.
        lost: only the other.
        neither: none of them.
        difference: of the accuracies, a fraction; positive if this run is better.
        low, high: its 95 % interval.
        p: McNemar's exact test, two-sided.
        loss: mean difference of the losses; low and high of its 95 % interval beside it.
    """

    both: int
    gained: int
    lost: int
    neither: int
    difference: float
    low: float
    high: float
    p: float
    loss: tuple[float, float, float]


def compare(right: np.ndarray, other: np.ndarray, losses: np.ndarray, other_losses: np.ndarray) -> Paired:
    """Compares a run with another; all arrays (images,), in the same order.

    McNemar 1947, in its exact form: among the images on which they disagree, each is as often right as a coin falls on
    heads. The interval is that of Agresti and Min 2005, which adds half an image to each of the four counts.
    """
    both, gained, lost = (int(np.sum(part)) for part in (right & other, right & ~other, ~right & other))
    images = len(right)
    low, high = _interval(gained, lost, images)
    gaps = np.asarray(losses, np.float64) - other_losses
    mean, reach = float(gaps.mean()), float(Z * gaps.std(ddof=1) / sqrt(images)) if images > 1 else float('nan')
    return Paired(
        both=both,
        gained=gained,
        lost=lost,
        neither=images - both - gained - lost,
        difference=(gained - lost) / images,
        low=low,
        high=high,
        p=mcnemar(gained, lost),
        loss=(mean, mean - reach, mean + reach),
    )


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p-value; 1 where they never disagree."""
    from scipy import stats

    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def _interval(gained: int, lost: int, images: int) -> tuple[float, float]:
    more, less, count = gained + 0.5, lost + 0.5, images + 2
    middle = (more - less) / count
    reach = Z * sqrt(more + less - (more - less) ** 2 / count) / count
    return max(-1.0, middle - reach), min(1.0, middle + reach)
