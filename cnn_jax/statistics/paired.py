"""Two models on the same images: the difference of their headline metric, and whether it is more than noise."""

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np

from cnn_jax.statistics.significance import t_interval

Z = 1.959964  # of a 95 % interval
RESAMPLES = 1000  # of the images, where a metric is no mean over them


class Paired(NamedTuple):
    """A run against another on the same images.

    Attributes:
        difference: of the headline metric, in its own scale; positive if this run's is higher.
        low, high: its 95 % interval.
        p: two-sided; McNemar's exact test where images are right or wrong, else by the bootstrap.
        loss: mean difference of the losses; low and high of its 95 % interval beside it.
        both: images that both answer right; this and the next three are None where no image is right or wrong.
        gained: only this run.
        lost: only the other.
        neither: none of them.
    """

    difference: float
    low: float
    high: float
    p: float
    loss: tuple[float, float, float]
    both: int | None = None
    gained: int | None = None
    lost: int | None = None
    neither: int | None = None


def compare_exactly(right: np.ndarray, other: np.ndarray, losses: np.ndarray, other_losses: np.ndarray) -> Paired:
    """Compares a run with another whose images are right or wrong; all arrays (images,), in the same order.

    McNemar 1947, in its exact form: among the images on which they disagree, each is as often right as a coin falls on
    heads. The interval is that of Agresti and Min 2005, which adds half an image to each of the four counts.
    """
    both, gained, lost = (int(np.sum(part)) for part in (right & other, right & ~other, ~right & other))
    images = len(right)
    low, high = _interval(gained, lost, images)
    return Paired(
        difference=(gained - lost) / images,
        low=low,
        high=high,
        p=mcnemar(gained, lost),
        loss=_mean_difference(losses, other_losses),
        both=both,
        gained=gained,
        lost=lost,
        neither=images - both - gained - lost,
    )


def compare_resampled(
    difference: Callable[[np.ndarray], float], losses: np.ndarray, other_losses: np.ndarray
) -> Paired:
    """Compares a run with another by a metric that is no mean over images, such as average precision.

    The images are drawn anew, with replacement, RESAMPLES times (Efron 1979): the interval holds 95 % of the
    differences, and p is twice the share of them on the other side of 0. The same draws at every call. Draws that have
    no metric, as where a class is in none of their images, are left out of both.

    Args:
        difference: of the metric over some images, given by their places, which may repeat.
    """
    images = len(losses)
    rng = np.random.default_rng(0)
    found = np.array([difference(rng.integers(0, images, images)) for _ in range(RESAMPLES)])
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, [0.025, 0.975]) if len(found) else (np.nan, np.nan)
    beyond = min(np.sum(found <= 0), np.sum(found >= 0))
    return Paired(
        difference=difference(np.arange(images)),
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * float(beyond + 1) / (len(found) + 1)),
        loss=_mean_difference(losses, other_losses),
    )


def _mean_difference(losses: np.ndarray, other_losses: np.ndarray) -> tuple[float, float, float]:
    gaps = np.asarray(losses, np.float64) - other_losses
    return float(np.mean(gaps)), *t_interval(gaps)


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p-value; 1 where they never disagree."""
    from scipy import stats

    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def _interval(gained: int, lost: int, images: int) -> tuple[float, float]:
    more, less, count = gained + 0.5, lost + 0.5, images + 2
    middle = (more - less) / count
    reach = Z * sqrt(more + less - (more - less) ** 2 / count) / count
    return max(-1.0, middle - reach), min(1.0, middle + reach)
