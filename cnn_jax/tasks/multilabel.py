"""Multi-label classification: each class is there or not, whatever the others."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.drawing import page
from cnn_jax.errors import CnnJaxError
from cnn_jax.losses import binary_cross_entropy
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.results import Batch, Evaluation, Results
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.task import Task

Loss = Callable[[jax.Array, jax.Array], jax.Array]
"""(scores (batch, classes), which classes are there, bool (batch, classes)) -> the loss of each image, (batch,)"""

MAP = Metric('map', 'mean average precision', 'points', True)
SUBSET = Metric('subset', 'subset accuracy', 'points', True)
CROSS_ENTROPY = Metric('cross_entropy', 'binary cross-entropy', '', False)
CONFIDENT = 4.0  # how far scores are from 0 where a loss is tried


@dataclasses.dataclass(frozen=True)
class MultiLabel(Task):
    """Each class is there or not; the outputs are scores (batch, classes), those above 0 (a sigmoid above 1/2) are it.

    The headline is the mean over the classes of the average precision. Subset accuracy is the share of the images
    whose classes are all right.
    """

    loss_function: Loss = binary_cross_entropy

    metrics: ClassVar[tuple[Metric, ...]] = (MAP, SUBSET, LOSS, CROSS_ENTROPY)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (SUBSET,)
    truths: ClassVar[tuple[str, ...]] = ('labels',)
    units_are_classes: ClassVar[bool] = True

    def fields(self, data: Data) -> Fields:
        return {'labels': Field('bool', (data.num_classes,))}

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        return self.loss_function(outputs, batch['labels'])

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        return {'subset': jnp.mean(_all_right(outputs, batch['labels']), dtype=jnp.float32)}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image, (batch, ...).

        `labels` and `scores`, (batch, classes); `subset`, whether all classes of an image are right; `cross_entropy`,
        the plain one, by which recipes of different losses can be compared.
        """
        labels = batch['labels']
        plain = binary_cross_entropy(outputs, labels)
        return {'labels': labels, 'scores': outputs, 'subset': _all_right(outputs, labels), 'cross_entropy': plain}

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images = len(results['loss'])
        precisions = average_precision(results['labels'], results['scores'])
        return {
            'map': float(np.nanmean(precisions)) if np.isfinite(precisions).any() else float('nan'),
            'subset': float(np.sum(results['subset']) / images),
            **{
                name: float(np.sum(results[name], dtype=np.float64) / images)
                for name in ('loss', 'cross_entropy')
                if name in results
            },
            'images': images,
        }

    def check_loss(self, data: Data) -> None:
        rows = np.eye(data.num_classes, dtype=bool)[:2] | np.eye(data.num_classes, k=1, dtype=bool)[:2]
        labels = jnp.asarray(rows)
        right = CONFIDENT * np.where(rows, 1, -1).astype(np.float32)
        sides = {'right': right, 'wrong': -right, 'too many': right + 2 * CONFIDENT}
        try:
            losses = jax.jit(lambda sides: {name: self.loss_function(one, labels) for name, one in sides.items()})(
                sides
            )
        except (TypeError, ValueError) as error:
            raise CnnJaxError(
                f'loss: it does not take scores and labels, both (batch, classes): {str(error).splitlines()[0]}'
            ) from error
        found = jax.device_get(losses)
        fits = found['right'].shape == (2,)
        if not fits or not all(np.all(found['right'] < found[name]) for name in ('wrong', 'too many')):
            raise CnnJaxError(
                'loss: it does not fit multi-label classification, where each class is a question of its own: '
                f'right answers have {np.ravel(found["right"])[0]:.4g}, wrong ones {np.ravel(found["wrong"])[0]:.4g}, '
                f'every class at once {np.ravel(found["too many"])[0]:.4g}; give a sigmoid loss, such as '
                'losses.binary_cross_entropy'
            )

    def words(self, evaluation: Evaluation, data: Data) -> str:
        rows = _class_rows(evaluation.results, data.class_names)
        width = max(len(name) for name, *_ in rows)
        lines = [f'  {name:<{width}} {precision}  ({count} images)' for name, precision, count in rows]
        return '\n'.join([super().words(evaluation, data), '', 'average precision of each class', *lines])

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return _named(np.asarray(example['labels']), class_names)

    def shows(self, example: Mapping[str, Any], class_names: Sequence[str]) -> Sequence[int]:
        return np.flatnonzero(example['labels']).tolist()

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return _named(np.asarray(outputs) > 0.5, class_names)

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`labels`, the classes with a probability above a half, and `probabilities` of all by name."""
        shares = dict(zip(class_names, map(float, outputs), strict=True))
        return {'labels': [name for name, share in shares.items() if share > 0.5], 'probabilities': shares}

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """labels, with semicolons between them, then the probability of each class."""
        shares = answer.get('probabilities', {})
        cells = {f'probability of {name}': shares.get(name, '') for name in class_names}
        return {'labels': ';'.join(answer.get('labels', ())), **cells}

    @property
    def probabilities(self) -> Callable[[jax.Array], jax.Array]:
        """Sigmoid: each class is a question of its own."""
        return jax.nn.sigmoid

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return _named(np.asarray(result['scores']) > 0, class_names)

    def sections(self, run: Run) -> list[str]:
        if not run.results:
            return super().sections(run)
        note = 'Average precision in %, over the images of the test split.'
        heads = ['class', 'average precision', 'images']
        table = page.html_table(heads, _class_rows(run.results, run.class_names), numeric=set(heads[1:]))
        return [page.section('Classes', note, table), *super().sections(run)]


def task(*, loss: Loss = binary_cross_entropy) -> MultiLabel:
    """Multi-label classification with a loss.

    loss: `(scores, labels) -> losses` (batch,), one for each image; each class a question of its own.
    """
    return MultiLabel(loss)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The average precision of each class, (classes,); NaN for a class that no image has.

    The sum over the images that have the class, by falling score, of precision times the recall that is gained; images
    of one score count together, as in scikit-learn. A score that is not a number is the worst there could be.

    labels: bool (images, classes). scores: (images, classes).
    """
    worst = np.where(labels, -np.inf, np.inf)
    return np.array(
        [_average_precision(*pair) for pair in zip(labels.T, np.where(np.isnan(scores), worst, scores).T, strict=True)]
    )


def _average_precision(there: np.ndarray, scores: np.ndarray) -> float:
    if not there.any():
        return float('nan')
    order = np.argsort(-scores, kind='stable')
    ranked = scores[order]
    last_of_equals = np.append(ranked[1:] != ranked[:-1], True)
    found = np.cumsum(there[order])[last_of_equals]
    looked_at = np.flatnonzero(last_of_equals) + 1
    return float(np.sum(np.diff(found, prepend=0) * found / looked_at) / there.sum())


def _all_right(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether the classes above 0 are those that are there, (batch,); never where a score is not a number."""
    return jnp.all(((scores > 0) == labels) & ~jnp.isnan(scores), -1)


def _class_rows(results: Results, class_names: Sequence[str]) -> list[list[str]]:
    precisions, counts = average_precision(results['labels'], results['scores']), results['labels'].sum(0)
    return [
        [name, MAP.show(precision), str(count)]
        for name, precision, count in zip(class_names, precisions, counts, strict=True)
    ]


def _named(there: np.ndarray, class_names: Sequence[str]) -> str:
    return ', '.join(str(class_names[number]) for number in np.flatnonzero(there).tolist()) or 'nothing'
