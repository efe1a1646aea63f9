"""Intervals of what was measured on some images: of an accuracy that was counted, and of a mean."""

from typing import Any, NamedTuple

import numpy as np


def wilson_interval(right: Any, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of an accuracy from counts (Wilson 1927), as fractions; (0, 1) where there are no images."""
    z, count = 1.959964, np.maximum(images, 1)
    middle = (right / count + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z * np.sqrt(right / count * (1 - right / count) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    there = np.asarray(images) > 0
    return np.where(there, np.clip(middle - reach, 0, 1), 0.0), np.where(there, np.clip(middle + reach, 0, 1), 1.0)


class Mean(NamedTuple):
    """A mean with its 95 % interval, arrays without the axis of the images; NaN where there is none."""

    mean: np.ndarray
    reach: np.ndarray  # the interval is the mean plus and minus this; NaN for fewer than two images
    count: np.ndarray  # of the values that are numbers


def mean_interval(values: Any) -> Mean:
    """The mean over the last axis, of the values that are numbers, and its 95 % interval (Student's t)."""
    from scipy.stats import t

    values = np.asarray(values, np.float64)
    there = np.isfinite(values)
    count = there.sum(-1)
    mean = np.divide(np.where(there, values, 0).sum(-1), count, where=count > 0, out=np.full(count.shape, np.nan))
    squares = np.where(there, np.square(values - mean[..., None]), 0).sum(-1)
    several = count > 1
    error = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
    return Mean(mean, np.where(several, error * t.ppf(0.975, np.maximum(count - 1, 1)), np.nan), count)
