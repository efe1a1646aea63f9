"""Semantic segmentation: a class for each pixel."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.formats import mask_file
from cnn_jax.data.formats.annotations import IGNORE
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.drawing.overlay import Overlay, beside, class_colours
from cnn_jax.errors import CnnJaxError
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.explained import Explained, check_unit
from cnn_jax.tasks.results import Batch, Evaluation, Results
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.segmentation import page
from cnn_jax.tasks.task import Task

MIOU = Metric('miou', 'mean IoU', 'points', True)
FIGURE = Metric('figure_ground', 'mean IoU of figure and ground', 'points', True)
PIXELS = Metric('pixel_accuracy', 'accuracy of the pixels', 'points', True)
BLIND = Metric('blind', 'mean IoU of the commonest class alone', 'points', True)
SHOWN = 0.01  # share of the pixels from which a class is named


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
    """A class for each pixel; the outputs are scores (batch, height, width, classes), the highest is the answer.

    Class 0 is the ground. Pixels of the class `IGNORE` count neither in the loss nor in the metrics. The loss of an
    image is the mean cross-entropy of its pixels, so that each image weighs the same; 0 where no pixel counts.

    The headline is the mean over the classes of the intersection over union, counted over all pixels of the split; a
    class that is neither there nor answered is left out, as in scikit-learn's macro `jaccard_score`. `blind` is that
    of an answer that is the commonest class of the split everywhere.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (MIOU, FIGURE, PIXELS, BLIND, LOSS)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (PIXELS,)
    answers_are_images: ClassVar[bool] = True
    draws: ClassVar[bool] = True
    units_are_classes: ClassVar[bool] = True
    truths: ClassVar[tuple[str, ...]] = ('there',)

    def fields(self, data: Data) -> Fields:
        given = data.row_fields.get('segmentation', Field('uint8'))
        most = data.num_classes - 1
        return {'segmentation': Field(given.dtype, data.image_shape[:2], least=0, most=most, besides=IGNORE)}

    def check(self, data: Data) -> None:
        if not 2 <= data.num_classes <= IGNORE:
            raise CnnJaxError(
                f'task {self.name}: {data.name} has {data.num_classes} classes; needed are 2 at least, the ground and '
                f'a figure, and {IGNORE} at most, since {IGNORE} is the number of a pixel that does not count'
            )
        super().check(data)

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        counted, truth = _targets(outputs, batch)
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, truth)
        return jnp.sum(jnp.where(counted, losses, 0), (1, 2)) / jnp.maximum(jnp.sum(counted, (1, 2)), 1)

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        counted, truth = _targets(outputs, batch)
        right = jnp.sum((jnp.argmax(outputs, -1) == truth) & counted & _known(outputs))
        return {'pixel_accuracy': right / jnp.maximum(jnp.sum(counted), 1)}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """`segmentation`, the class of each pixel, int32 (batch, height, width), and its `probability`.

        The probability is not a number where a score is none.
        """
        shares = jnp.max(jax.nn.softmax(outputs), -1)
        probability = jnp.where(_known(outputs), shares, jnp.nan)
        return {'segmentation': jnp.argmax(outputs, -1).astype(jnp.int32), 'probability': probability}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image, counts of the pixels that count.

        `there`, int32 (batch, classes), by right class; `confusion`, int32 (batch, classes, classes), by right class
        and answer. A pixel whose scores are not numbers has no answer: it is in `there` alone.
        """
        counted, truth = _targets(outputs, batch)
        classes = outputs.shape[-1]
        pairs = jnp.where(counted & _known(outputs), truth * classes + jnp.argmax(outputs, -1), classes**2)
        confusion = _histograms(pairs, classes**2).reshape(-1, classes, classes)
        return {'there': _histograms(jnp.where(counted, truth, classes), classes), 'confusion': confusion}

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images = len(results['loss'])
        there, confusion = _total(results, data)
        always = np.zeros_like(confusion)
        always[:, there.argmax()] = there
        figures = [0, 1]  # where the ground and the figures begin
        figure = np.add.reduceat(np.add.reduceat(confusion, figures, 0), figures, 1)
        return {
            'miou': _mean(intersection_over_union(there, confusion)),
            'figure_ground': _mean(intersection_over_union(np.add.reduceat(there, figures), figure)),
            'pixel_accuracy': float(np.trace(confusion) / there.sum()) if there.any() else float('nan'),
            'blind': _mean(intersection_over_union(there, always)),
            'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
            'images': images,
        }

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        counts = example['there'] if 'there' in example else _counts(example['segmentation'], len(class_names))
        return _named(np.asarray(counts), class_names)

    def shows(self, example: Mapping[str, Any], class_names: Sequence[str]) -> Sequence[int]:
        """The classes that have a pixel, but for the ground."""
        return (np.flatnonzero(_counts(example['segmentation'], len(class_names))[1:]) + 1).tolist()

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return _named(_counts(outputs['segmentation'], len(class_names)), class_names)

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`classes`, the share of the pixels of each class that is there, and `segmentation`, rows of class numbers.

        The rows are those of the image as the net is shown it.
        """
        counts = _counts(outputs['segmentation'], len(class_names))
        there = np.flatnonzero(counts).tolist()
        shares = {class_names[number]: float(counts[number] / counts.sum()) for number in there}
        return {'classes': shares, 'segmentation': np.asarray(outputs['segmentation']).tolist()}

    def explained(self, outputs: Any, unit: int | None, class_names: Sequence[str]) -> Explained:
        """The scores of a class, summed over the pixels that are answered as this class; None: the largest figure.

        As Seg-Grad-CAM has it (Vinogradova et al. 2020, arXiv:2002.11434), which leaves open what pixels are summed.
        Differs: any method may explain the sum, and not Grad-CAM alone.
        """
        scores = np.asarray(outputs)
        answered = np.where(np.isfinite(scores).all(-1), np.argmax(scores, -1), IGNORE)
        counts = _counts(answered, scores.shape[-1])
        check_unit(unit, len(counts), 'a class')
        if not counts.any():
            raise CnnJaxError('no pixel has an answer to explain: the outputs of the net are not finite')
        number = unit if unit is not None else int(counts[1:].argmax() + 1) if counts[1:].any() else 0
        if not counts[number]:
            there = ', '.join(f'{place} ({class_names[place]})' for place in np.flatnonzero(counts).tolist())
            raise CnnJaxError(f'unit: {unit} given; no pixel is answered as {class_names[number]}; there are {there}')
        mask = (answered == number)[..., None] & (np.arange(len(counts)) == number)
        what = 'the largest class' if unit is None else f'class {class_names[number]}'
        about = f'{class_names[number]} on {counts[number]} pixels'
        return Explained(mask, f'the scores of {what}, summed over its pixels', about)

    @property
    def likelihoods(self) -> Callable[[jax.Array], jax.Array]:
        """Softmax of the classes of each pixel."""
        return jax.nn.softmax

    def as_image(self, answer: Mapping[str, Any]) -> bytes:
        """The mask, an indexed PNG file whose pixels are class numbers, at the size of what the net is shown."""
        return mask_file.encode(np.array(answer['segmentation']))

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """The classes in words, and the share of the pixels of each."""
        shares = answer.get('classes')
        if shares is None:
            return {'classes': '', **{f'share of {name}': '' for name in class_names}}
        words = _named(np.array([shares.get(name, 0.0) for name in class_names]), class_names)
        return {'classes': words, **{f'share of {name}': shares.get(name, 0.0) for name in class_names}}

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return _named(np.asarray(result['confusion']).sum(0), class_names)

    def drawn(self, case: Case, class_names: Sequence[str]) -> np.ndarray:
        """The right class of each pixel, and the answered one, as tints with outlines."""
        right, answer, colours = Overlay(case.image), Overlay(case.image), class_colours(len(class_names))
        right.mask(case.row['segmentation'], colours, ignored=IGNORE)
        answer.mask(case.answer['segmentation'], colours, ignored=IGNORE)
        return beside(right.pixels, answer.pixels)

    def sections(self, run: Run) -> list[str]:
        if not run.results:
            return []
        there, confusion = (np.asarray(np.sum(run.results[name], 0, np.int64)) for name in ('there', 'confusion'))
        return page.sections(run, intersection_over_union(there, confusion), confusion)

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        there, confusion = _total(evaluation.results, data)
        each = zip(data.class_names, intersection_over_union(there, confusion).tolist(), strict=True)
        classes = {name: None if np.isnan(value) else value for name, value in each}
        return {**super().details(evaluation, data), 'iou_by_class': classes, 'confusion': confusion.tolist()}


def task() -> Segmentation:
    """Semantic segmentation."""
    return Segmentation()


def intersection_over_union(there: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """The IoU of each class, (classes,): NaN for one that is neither there nor answered.

    there: int (classes,), pixels by right class. confusion: int (classes, classes), those that have an answer, by right
    class and answer.
    """
    shared = np.diag(confusion)
    union = there + confusion.sum(0) - shared
    return np.where(union > 0, shared / np.maximum(union, 1), np.nan)


def _total(results: Results, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """`there` and `confusion` of a split; CnnJaxError for scores of another number of classes."""
    there, confusion = (np.asarray(np.sum(results[name], 0, dtype=np.int64)) for name in ('there', 'confusion'))
    if len(there) != data.num_classes:
        raise CnnJaxError(
            f'task segmentation: the model scores {len(there)} classes, {data.name} has {data.num_classes}; '
            'build it with num_classes=data.num_classes'
        )
    return there, confusion


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float('nan')


def _targets(outputs: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Which pixels count, and their classes, 0 where they do not; CnnJaxError for scores of other sizes."""
    truth = batch['segmentation'].astype(jnp.int32)
    if outputs.shape[:-1] != truth.shape:
        raise CnnJaxError(
            f'task segmentation: the model scores {outputs.shape[:-1]} pixels, the truth has {truth.shape}; a model '
            'for it returns (batch, height, width, classes) at the size of its images'
        )
    return truth != IGNORE, jnp.where(truth != IGNORE, truth, 0)


def _known(outputs: jax.Array) -> jax.Array:
    """Which pixels have an answer: all of their scores are numbers."""
    return jnp.isfinite(outputs).all(-1)


def _histograms(values: jax.Array, length: int) -> jax.Array:
    """How often each number below `length` is in each image (batch, height, width), int32 (batch, length)."""
    count = jax.vmap(lambda image: jnp.bincount(image.ravel(), length=length + 1))
    return count(values)[:, :length].astype(jnp.int32)


def _counts(segmentation: Any, classes: int) -> np.ndarray:
    """Pixels of each class."""
    values = np.asarray(segmentation).ravel()
    return np.bincount(values[values != IGNORE], minlength=classes)


def _named(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """The classes that have some of the pixels, but for the ground."""
    least = SHOWN * counts.sum()
    names = [class_names[number] for number in range(1, len(class_names)) if counts[number] and counts[number] >= least]
    return ', '.join(names) or 'nothing'
