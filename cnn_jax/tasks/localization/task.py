"""Localisation: what is on an image, and where: one class and one box."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.drawing.overlay import ANSWER, RIGHT, Overlay, beside
from cnn_jax.ops.boxes import box_iou
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.classification import results as classes
from cnn_jax.tasks.localization import page
from cnn_jax.tasks.localization.page import ENOUGH
from cnn_jax.tasks.results import Batch, Evaluation, Results
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.task import Task

LOCALIZED = Metric('localized', 'localisation accuracy', 'points', True)
LOCALIZED5 = Metric('localized5', 'localisation accuracy (top-5)', 'points', True)
TOP1 = Metric('top1', 'accuracy of the class', 'points', True)
FOUND = Metric('iou50', 'boxes found (IoU of a half)', 'points', True)
IOU = Metric('iou', 'mean IoU', 'points', True)
BLIND = Metric('blind', 'the same answer for every image', 'points', True)
TOP = 5


@dataclasses.dataclass(frozen=True)
class Localization(Task):
    """One class is right, and a box is right that covers the object: `{'scores': (batch, classes), 'box': (batch, 4)}`.

    The loss is the cross-entropy of the class, and a weight times Huber's loss of the box's edges, in shares of the
    image's sides, divided by its delta: an edge that is far off counts the weight times its distance. The headline is
    ILSVRC's rule for one guess: the class is right and the IoU is at least a half; top-5 is its rule for five, which
    share the one box here. Differs from ILSVRC: there is one object on an image.

    Attributes:
        box_weight: of the box's loss.
        box_delta: from where Huber's loss of an edge is linear.
    """

    box_weight: float = 1.0
    box_delta: float = 0.1

    metrics: ClassVar[tuple[Metric, ...]] = (LOCALIZED, LOCALIZED5, TOP1, FOUND, IOU, BLIND, LOSS)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (LOCALIZED,)
    draws: ClassVar[bool] = True
    units_are_classes: ClassVar[bool] = True
    truths: ClassVar[tuple[str, ...]] = ('label', 'box')
    places: ClassVar[tuple[str, ...]] = ('box',)

    def fields(self, data: Data) -> Fields:
        declared = data.row_fields.get('boxes', Field('float32', (1, 4)))  # its bounds are the data's
        return {'label': Field('int32', least=0, most=data.num_classes - 1), 'boxes': declared._replace(shape=(1, 4))}

    @property
    def arguments(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        height, width = batch['image'].shape[1:3]
        sides = jnp.array([[width, height, width, height]], jnp.float32)
        classes_ = optax.softmax_cross_entropy_with_integer_labels(outputs['scores'], batch['label'])
        edges = optax.huber_loss(outputs['box'] / sides, batch['boxes'][:, 0] / sides, delta=self.box_delta)
        return classes_ + self.box_weight / self.box_delta * jnp.sum(edges, -1)

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        right = jnp.argmax(outputs['scores'], -1) == batch['label']
        found = box_iou(outputs['box'], batch['boxes'][:, 0]) >= ENOUGH
        return {'localized': jnp.mean(right & found, dtype=jnp.float32)}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image.

        `label`, `prediction`, `probability` and `rank` of the class, (batch,), as in classification; `box`, the right
        one, and `predicted_box`, (batch, 4); their `iou`, (batch,), 0 where the answer is not finite.
        """
        scores, box, truth = outputs['scores'], outputs['box'], batch['boxes'][:, 0]
        return {
            'label': batch['label'],
            'prediction': jnp.argmax(scores, -1).astype(jnp.int32),
            'probability': jnp.max(jax.nn.softmax(scores), -1),
            'rank': classes.rank_of_label(scores, batch['label']),
            'box': truth,
            'predicted_box': box,
            'iou': jnp.where(jnp.isfinite(box).all(-1), box_iou(box, truth), 0),
        }

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images, found = len(results['loss']), results['iou'] >= ENOUGH
        return {
            'localized': float(np.mean((results['rank'] < 1) & found)),
            'localized5': float(np.mean((results['rank'] < min(TOP, data.num_classes)) & found)),
            'top1': float(np.mean(results['rank'] < 1)),
            'iou50': float(np.mean(found)),
            'iou': float(np.mean(results['iou'], dtype=np.float64)),
            'blind': blind(results['label'], results['box']),
            'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
            'images': images,
        }

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return str(class_names[int(example['label'])])

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return str(class_names[int(np.argmax(outputs['scores']))])

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`prediction`, `probability`, `box` in pixels, and the `top` five classes."""
        shares = np.asarray(jax.nn.softmax(outputs['scores']))
        top = [[class_names[place], float(shares[place])] for place in np.argsort(-shares, kind='stable')[:TOP]]
        box = [round(float(edge), 2) for edge in outputs['box']]
        return {'prediction': top[0][0], 'probability': top[0][1], 'box': box, 'top': top}

    @property
    def likelihoods(self) -> Callable[[jax.Array], jax.Array]:
        """Softmax of the classes."""
        return jax.nn.softmax

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """The class, its probability and the edges of the box."""
        edges = dict(zip(('left', 'top', 'right', 'bottom'), answer.get('box', [''] * 4), strict=True))
        return {name: answer.get(name, '') for name in ('prediction', 'probability')} | edges

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return f'{class_names[int(result["prediction"])]}, IoU {100 * float(result["iou"]):.0f} %'

    def group(self, example: Mapping[str, Any]) -> int:
        return int(example['label'])

    def groups(self, class_names: Sequence[str]) -> tuple[str, ...]:
        return tuple(class_names)

    def drawn(self, case: Case, class_names: Sequence[str]) -> np.ndarray:
        """The right box in green, the answer in orange, each with its class."""
        right, answer, result = Overlay(case.image), Overlay(case.image), case.result
        right.boxes(result['box'][None], RIGHT, [class_names[int(result['label'])]])
        words = f'{class_names[int(result["prediction"])]} {100 * result["probability"]:.0f} %'
        answer.boxes(result['predicted_box'][None], ANSWER, [words])
        return beside(right.pixels, answer.pixels)

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        wrong = page.split_errors(evaluation.results)
        return {**super().details(evaluation, data), 'answers_by_error': wrong}

    def sections(self, run: Run) -> list[str]:
        return page.sections(run)

    def right(self, results: Results) -> np.ndarray:
        return (results['rank'] < 1) & (results['iou'] >= ENOUGH)


def task(*, box_weight: float = 1.0, box_delta: float = 0.1) -> Localization:
    """Localisation; see `Localization`."""
    return Localization(box_weight, box_delta)


def blind(labels: np.ndarray, boxes: np.ndarray) -> float:
    """The localisation accuracy of the same answer for every image: the commonest class, the mean box of the split.

    labels: int (images,). boxes: (images, 4).
    """
    commonest = np.bincount(labels).argmax()
    return float(np.mean((labels == commonest) & (box_iou(boxes.mean(0), boxes) >= ENOUGH)))
