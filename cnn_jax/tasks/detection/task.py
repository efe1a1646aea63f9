"""Detection as a task: any number of objects, each with a class, a box and a score."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.formats.annotations import present
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.drawing.overlay import ANSWER, RIGHT, Overlay, beside
from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.detection import decoding, errors, page, precision
from cnn_jax.tasks.detection.methods import METHODS, Method
from cnn_jax.tasks.explained import Explained, check_unit
from cnn_jax.tasks.results import Batch, Evaluation, Results
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.task import Task

AP = Metric('ap', 'average precision (AP)', 'points', True)
AP50 = Metric('ap50', 'AP at an IoU of 0.5', 'points', True)
AP75 = Metric('ap75', 'AP at an IoU of 0.75', 'points', True)
BLIND = Metric('blind', 'AP of the same boxes for every image', 'points', True)
SHOWN = 0.3  # score from which a detection is part of the answer in words


@dataclasses.dataclass(frozen=True)
class Detection(Task):
    """Any number of objects on an image, each with a class, a box and a score.

    The outputs are dense, a score of each class and a box for each place, as `models.centernet` gives them or
    `models.fcos`. The headline is COCO's average precision, by pycocotools.

    Attributes:
        most: detections that are kept of an image.
        method: 'centernet', where the peaks of the scores are the detections, or 'fcos', with non-maximum suppression.
    """

    most: int = 100
    method: str = 'centernet'

    metrics: ClassVar[tuple[Metric, ...]] = (AP, AP50, AP75, BLIND, LOSS)
    truths: ClassVar[tuple[str, ...]] = ('boxes', 'box_label', 'crowd')
    places: ClassVar[tuple[str, ...]] = ('box',)
    draws: ClassVar[bool] = True

    def fields(self, data: Data) -> Fields:
        boxes = data.row_fields.get('boxes', Field('float32', (1, 4)))  # how many, and their bounds, are the data's
        most = boxes.shape[0] if len(boxes.shape) == 2 else 1
        labels = Field('int32', (most,), least=0, most=data.num_classes - 1)
        crowd = {'crowd': Field('bool', (most,))} if 'crowd' in data.row_fields else {}
        return {'boxes': boxes._replace(shape=(most, 4)), 'box_label': labels, **crowd}

    @property
    def arguments(self) -> dict[str, Any]:
        return {'most': self.most, 'method': self.method}

    def _of(self, outputs: Any) -> Method:
        """The method, for outputs that are its model's."""
        method = METHODS[self.method]
        if not isinstance(outputs, Mapping) or {*outputs} != method.outputs:
            raise CnnJaxError(
                f'task detection: method {self.method!r} reads the outputs {", ".join(sorted(method.outputs))}, as '
                f'models.{method.model} gives them; this model gives others'
            )
        return method

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        targets = {name: batch[name] for name in self.truths if name in batch}
        return self._of(outputs).loss(outputs, targets, batch['image'].shape[1:3])

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        return {}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """The detections of each image: `score`, `class`, `box`; see `decoding.detections`.

        Scores of an image are NaN where an output is not finite: that nothing is found would be another answer.
        """
        found = self._of(outputs).detections(outputs, self.most)
        broken = decoding.not_finite(outputs)
        return {**found, 'score': jnp.where(broken[:, None], jnp.nan, found['score'])}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image: the right `boxes`, `box_label` and `crowd`, and the detections, `found_...`."""
        found = self._of(outputs).detections(outputs, self.most)
        crowd = batch.get('crowd', jnp.zeros_like(batch['box_label'], bool))
        right = {'boxes': batch['boxes'], 'box_label': batch['box_label'], 'crowd': crowd}
        return {**right, **{f'found_{name}': values for name, values in found.items()}}

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images = len(results['loss'])
        found = precision.measure(results, data.class_names)
        return {
            'ap': found.ap,
            'ap50': found.ap50,
            'ap75': found.ap75,
            'blind': precision.measure(blind(results, data.num_classes), data.class_names).ap,
            'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
            'images': images,
        }

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        there = present(np.asarray(example['boxes']))
        return _words(np.asarray(example['box_label'])[there], class_names)

    def shows(self, example: Mapping[str, Any], class_names: Sequence[str]) -> Sequence[int]:
        return np.unique(np.asarray(example['box_label'])[present(np.asarray(example['boxes']))]).tolist()

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return _words(np.asarray(outputs['class'])[np.asarray(outputs['score']) >= SHOWN], class_names)

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`objects`, the surest first: of each the class, the score, and the box (left, top, right, bottom).

        All that are kept, the unlikely ones too, which average precision counts.
        """
        objects = [
            {
                'class': class_names[int(outputs['class'][place])],
                'score': float(outputs['score'][place]),
                'box': [float(edge) for edge in outputs['box'][place]],
            }
            for place in np.flatnonzero(np.asarray(outputs['score']) > 0)
        ]
        return {'objects': objects}

    def explained(self, outputs: Any, unit: int | None, class_names: Sequence[str]) -> Explained:
        """The score of a detection at its place; `unit`: which, the surest first."""
        scores, boxes = np.asarray(outputs['scores']), np.asarray(outputs['boxes'])
        batched = {name: jnp.asarray(values)[None] for name, values in outputs.items()}
        best, where = (np.asarray(values[0]) for values in _places(self.method, batched, self.most))
        if not (best > 0).any():
            raise CnnJaxError('no detection is there to explain: the outputs of the net are not finite')
        check_unit(unit, int((best > 0).sum()), 'a detection')
        *place, label = np.unravel_index(where[unit or 0], scores.shape)
        edges = ' '.join(f'{edge:.0f}' for edge in boxes[*place])
        about = f'{class_names[label]} {100 * best[unit or 0]:.0f} % at {edges}'
        what = 'the surest detection' if unit is None else f'detection {unit}'
        target = np.zeros(scores.shape, bool)
        target[*place, label] = True
        return Explained(target, f'the score of {what}', about)

    @property
    def likelihoods(self) -> Callable[[jax.Array], jax.Array]:
        """Sigmoid: each place and class is a question of its own."""
        return jax.nn.sigmoid

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """How many objects have a score of `SHOWN` at least, and each in words: 'cat 93 % at 10 20 80 90'."""
        if 'objects' not in answer:
            return {'count': '', 'objects': ''}
        each = [
            f'{one["class"]} {100 * one["score"]:.0f} % at {" ".join(f"{edge:.0f}" for edge in one["box"])}'
            for one in answer['objects']
            if one['score'] >= SHOWN
        ]
        return {'count': len(each), 'objects': '; '.join(each)}

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return self.answer({name: result[f'found_{name}'] for name in ('class', 'score')}, class_names)

    def records(self, row: Mapping[str, Any], number: int, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """The detections of a picture as COCO's results, with the names of file and class; `image_id` is `number`."""
        return [
            {
                'image_id': number,
                'file_name': row['file'],
                'category_id': list(class_names).index(one['class']) + 1,
                'category': one['class'],
                'bbox': precision.xywh(one['box']),
                'score': one['score'],
            }
            for one in row.get('objects', ())
        ]

    def files(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        """COCO's ground truth and results: pycocotools gives the same average precision of these."""
        return {
            'truth': precision.truths(evaluation.results, data.class_names),
            'results': precision.answers(evaluation.results),
        }

    def drawn(self, case: Case, class_names: Sequence[str]) -> np.ndarray:
        """The right boxes in green, the answers in orange, with their classes and scores."""
        result = case.result
        shown = np.flatnonzero(np.asarray(result['found_score']) >= SHOWN)
        words = [f'{class_names[result["found_class"][at]]} {100 * result["found_score"][at]:.0f} %' for at in shown]
        right, answer = Overlay(case.image), Overlay(case.image)
        right.boxes(result['boxes'], RIGHT, [str(class_names[label]) for label in result['box_label'].tolist()])
        answer.boxes(np.asarray(result['found_box'])[shown], ANSWER, words)
        return beside(right.pixels, answer.pixels)

    def headline_over(self, results: Results, data: Data) -> Callable[[np.ndarray], float]:
        """The boxes are matched once, and not for each drawing of images."""
        matched = precision.Matched(results, data.class_names)
        return lambda rows: matched.precision(rows).ap

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        found = precision.measure(evaluation.results, data.class_names)
        each = zip(data.class_names, found.classes.tolist(), strict=True)
        classes = {name: None if np.isnan(value) else value for name, value in each}
        wrong = errors.split_errors(evaluation.results)
        return {**super().details(evaluation, data), 'ap_by_class': classes, 'answers_by_error': wrong}

    def sections(self, run: Run) -> list[str]:
        return page.sections(run)


def task(*, most: int = 100, method: str = 'centernet') -> Detection:
    """Detection.

    Args:
        most: detections that are kept of an image.
        method: 'centernet' or 'fcos', by the model's kind.
    """
    if method not in METHODS:
        raise CnnJaxError(unknown('detection method', method, METHODS))
    return Detection(most, method)


def blind(results: Results, num_classes: int) -> dict[str, np.ndarray]:
    """The same answer for every image: for each class the mean of its boxes, scored by how common it is."""
    there = present(results['boxes']) & ~results['crowd']
    labels, boxes = results['box_label'][there], results['boxes'][there]
    counts = np.bincount(labels, minlength=num_classes)
    means = np.stack(
        [boxes[labels == one].mean(0) if counts[one] else np.zeros(4, np.float32) for one in range(num_classes)]
    )
    images = len(results['index'])
    return {
        **results,
        'found_score': np.tile(counts / max(1, counts.sum()), (images, 1)),
        'found_class': np.tile(np.arange(num_classes), (images, 1)),
        'found_box': np.tile(means, (images, 1, 1)),
    }


@functools.partial(jax.jit, static_argnums=(0, 2))
def _places(method: str, outputs: Any, most: int) -> tuple[jax.Array, jax.Array]:
    return METHODS[method].places(outputs, most)


def _words(labels: np.ndarray, class_names: Sequence[str]) -> str:
    names = [str(class_names[label]) for label in sorted(labels.tolist())]
    return ', '.join(names) or 'nothing'
