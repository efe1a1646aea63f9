"""Semantic segmentation: a class for each pixel."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.formats.annotations import IGNORE
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.task import Batch, Evaluation, Results, Task

MIOU = Metric('miou', 'mean IoU', 'points', True)
FIGURE = Metric('figure_ground', 'mean IoU of figure and ground', 'points', True)
PIXELS = Metric('pixel_accuracy', 'accuracy of the pixels', 'points', True)
BLIND = Metric('blind', 'mean IoU of the commonest class alone', 'points', True)
SHOWN = 0.01  # share of the pixels from which a class is named


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
    """A class for each pixel; the outputs are scores (batch, height, width, classes), the highest is the answer.

    Class 0 is the ground. Pixels of the class `IGNORE` count neither in the loss nor in the metrics. The headline is
    the mean over the classes of the intersection over union, counted over all pixels of the split; a class that is
    neither there nor answered is left out, as in scikit-learn's macro `jaccard_score`.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (MIOU, FIGURE, PIXELS, BLIND, LOSS)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (PIXELS,)

    def fields(self, data: Data) -> Fields:
        size = data.image_shape[:2]
        return {'segmentation': data.row_fields.get('segmentation', Field('uint8'))._replace(shape=size)}

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        counted, truth = _targets(batch)
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, truth)
        return jnp.sum(jnp.where(counted, losses, 0), (1, 2)) / jnp.maximum(jnp.sum(counted, (1, 2)), 1)

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        counted, truth = _targets(batch)
        right = jnp.sum((jnp.argmax(outputs, -1) == truth) & counted)
        return {'pixel_accuracy': right / jnp.maximum(jnp.sum(counted), 1)}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """`segmentation`, the class of each pixel, (batch, height, width), and its `probability`."""
        shares = jax.nn.softmax(outputs)
        return {'segmentation': jnp.argmax(outputs, -1).astype(jnp.int32), 'probability': jnp.max(shares, -1)}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image: `confusion`, int32 (batch, classes, classes), pixels by right class and answer.

        A pixel whose scores are not numbers has no answer: it is counted in `lost`, int32 (batch, classes), by its
        right class.
        """
        counted, truth = _targets(batch)
        classes = outputs.shape[-1]
        known = jnp.isfinite(outputs).all(-1)
        pairs = jnp.where(counted & known, truth * classes + jnp.argmax(outputs, -1), classes**2)
        lost = jnp.where(counted & ~known, truth, classes)
        count = jax.vmap(lambda values, length: jnp.bincount(values.ravel(), length=length), in_axes=(0, None))
        confusion = count(pairs, classes**2 + 1)[:, :-1].reshape(-1, classes, classes)
        return {'confusion': confusion.astype(jnp.int32), 'lost': count(lost, classes + 1)[:, :-1].astype(jnp.int32)}

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images = len(results['loss'])
        confusion, lost = (_total(results[name]) for name in ('confusion', 'lost'))
        figure = np.add.reduceat(np.add.reduceat(confusion, [0, 1], 0), [0, 1], 1)
        always = np.zeros_like(confusion)
        truth = confusion.sum(1) + lost
        always[:, truth.argmax()] = truth
        return {
            'miou': _mean(intersection_over_union(confusion, lost)),
            'figure_ground': _mean(intersection_over_union(figure, np.add.reduceat(lost, [0, 1]))),
            'pixel_accuracy': float(np.trace(confusion) / max(1, truth.sum())),
            'blind': _mean(intersection_over_union(always, 0 * lost)),
            'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
            'images': images,
        }

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        if 'confusion' in example:
            return _named(np.asarray(example['confusion']).sum(1) + np.asarray(example['lost']), class_names)
        return _named(_counts(example['segmentation'], len(class_names)), class_names)

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return _named(_counts(outputs['segmentation'], len(class_names)), class_names)

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`classes`: the share of the pixels that each class has, of those that are there."""
        counts = _counts(outputs['segmentation'], len(class_names))
        shares = {
            class_names[number]: float(counts[number] / counts.sum()) for number in np.flatnonzero(counts).tolist()
        }
        return {'classes': shares}

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """The share of the pixels of each class."""
        shares = answer.get('classes')
        return {f'share of {name}': '' if shares is None else shares.get(name, 0.0) for name in class_names}

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return _named(np.asarray(result['confusion']).sum(0), class_names)

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        confusion, lost = (_total(evaluation.results[name]) for name in ('confusion', 'lost'))
        each = zip(data.class_names, intersection_over_union(confusion, lost).tolist(), strict=True)
        classes = {name: None if np.isnan(value) else value for name, value in each}
        return {**super().details(evaluation, data), 'iou_by_class': classes, 'confusion': confusion.tolist()}


def task() -> Segmentation:
    """Semantic segmentation."""
    return Segmentation()


def intersection_over_union(confusion: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """The IoU of each class, (classes,): NaN for one that is neither there nor answered.

    confusion: int (classes, classes), pixels by right class and answer. lost: int (classes,), pixels without an answer
    by right class.
    """
    shared = np.diag(confusion)
    total = confusion.sum(1) + lost + confusion.sum(0) - shared
    return np.where(total > 0, shared / np.maximum(total, 1), np.nan)


def _total(counts: np.ndarray) -> np.ndarray:
    """The sum over the images."""
    return np.asarray(np.sum(counts, 0, dtype=np.int64))


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float('nan')


def _targets(batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Which pixels count, and their classes, 0 where they do not."""
    truth = batch['segmentation'].astype(jnp.int32)
    return truth != IGNORE, jnp.where(truth != IGNORE, truth, 0)


def _counts(segmentation: Any, classes: int) -> np.ndarray:
    """Pixels of each class."""
    values = np.asarray(segmentation).ravel()
    return np.bincount(values[values != IGNORE], minlength=classes)


def _named(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """The classes that have some of the pixels, but for the ground."""
    least = SHOWN * max(1, counts.sum())
    names = [class_names[number] for number in range(1, len(class_names)) if counts[number] >= least]
    return ', '.join(names) or 'nothing'
