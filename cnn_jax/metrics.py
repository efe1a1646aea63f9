"""Metrics from the results of each image: counts first, one division last."""

from collections.abc import Mapping

import numpy as np


def summarise(results: Mapping[str, np.ndarray], num_classes: int) -> dict[str, float]:
    """Fractions and means over a split.

    Args:
        results: arrays (images,): `rank` (classes that score above the true one), `loss`.
        num_classes: top-5 is top-k with k = min(5, num_classes).

    Returns:
        `loss`, `top1`, `top5` (fractions) and `images`, the count.
    """
    images = len(results['rank'])
    top = min(5, num_classes)
    return {
        'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
        'top1': float(np.sum(results['rank'] < 1) / images),
        'top5': float(np.sum(results['rank'] < top) / images),
        'images': images,
    }


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts, (num_classes, num_classes) int64: row is the true class, column the predicted one."""
    cells = labels.astype(np.int64) * num_classes + predictions
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Fraction of each class that is right, (num_classes,); NaN for a class without images."""
    counts = confusion.sum(1)
    return np.divide(np.diag(confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)
