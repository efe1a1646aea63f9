"""Metrics from the results of each image: counts first, one division last."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np


def summarise(results: Mapping[str, np.ndarray], num_classes: int) -> dict[str, float]:
    """Fractions and means over a split.

    Args:
        results: arrays (images,): `rank` (classes that score above the true one), `loss`; `cross_entropy`, which those
            that an earlier version stored do not have.
        num_classes: top-5 is top-k with k = min(5, num_classes).

    Returns:
        `top1`, `top5` (fractions), `loss`, `cross_entropy` where it is known, and `images`, the count.
    """
    images = len(results['rank'])
    top = min(5, num_classes)
    return {
        'top1': float(np.sum(results['rank'] < 1) / images),
        'top5': float(np.sum(results['rank'] < top) / images),
        **{
            name: float(np.sum(results[name], dtype=np.float64) / images)
            for name in ('loss', 'cross_entropy')
            if name in results
        },
        'images': images,
    }


def cross_entropy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """The negative logarithm of the softmax of the true class, (batch,): nothing smoothed, nothing mixed.

    scores: (batch, classes); labels: (batch,) int32.
    """
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], -1)[:, 0]


def is_right(results: Mapping[str, np.ndarray]) -> np.ndarray:
    """Whether each image is right: no class comes before the true one (`rank`), else by the prediction."""
    return np.asarray(results['rank'] < 1 if 'rank' in results else results['label'] == results['prediction'])


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts, (num_classes, num_classes) int64: row is the true class, column the predicted one."""
    cells = labels.astype(np.int64) * num_classes + predictions
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def calibration_error(confidence: np.ndarray, right: np.ndarray, *, num_bins: int = 15) -> float:
    """The expected calibration error: how far confidence is from accuracy, in the mean over equal bins of confidence.

    Guo et al. 2017, arXiv:1706.04599. confidence: (images,), the probability of the predicted class; right: bool.
    """
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)  # (0, 1/15], (1/15, 2/15], ...
    gaps = np.bincount(bins, confidence - right, num_bins)  # in each bin: images x (mean confidence - accuracy)
    return float(np.abs(gaps).sum() / len(confidence))


def confused_pairs(confusion: np.ndarray, *, most: int = 10) -> list[tuple[int, int, int]]:
    """(true class, predicted class, images) of the most frequent mistakes, most frequent first."""
    wrong = confusion * (1 - np.eye(len(confusion), dtype=confusion.dtype))
    cells = np.argsort(-wrong, axis=None, kind='stable')[:most].tolist()
    pairs = [divmod(cell, len(confusion)) for cell in cells]
    return [(row, column, int(wrong[row, column])) for row, column in pairs if wrong[row, column]]


def per_class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Fraction of each class that is right, (num_classes,); NaN for a class without images."""
    counts = confusion.sum(1)
    return np.divide(np.diag(confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def rank_of_label(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """How many classes score higher than the true one, equals counted in class order; int32 (batch,).

    Args:
        scores: (batch, classes). A row with a NaN gives the number of classes: wrong for every k.
        labels: (batch,) int32.
    """
    classes = jnp.arange(scores.shape[-1])[None]  # (1, classes)
    own = jnp.take_along_axis(scores, labels[:, None], -1)  # (batch, 1)
    before = (scores > own) | ((scores == own) & (classes < labels[:, None]))
    rank = jnp.sum(before, -1, dtype=jnp.int32)
    return jnp.where(jnp.any(jnp.isnan(scores), -1), scores.shape[-1], rank).astype(jnp.int32)
