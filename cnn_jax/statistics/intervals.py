"""The interval of an accuracy that was counted on some images."""

from typing import Any

import numpy as np


def wilson_interval(right: Any, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of an accuracy from counts (Wilson 1927), as fractions; (0, 1) where there are no images."""
    z, count = 1.959964, np.maximum(images, 1)
    middle = (right / count + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z * np.sqrt(right / count * (1 - right / count) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    there = np.asarray(images) > 0
    return np.where(there, np.clip(middle - reach, 0, 1), 0.0), np.where(there, np.clip(middle + reach, 0, 1), 1.0)
