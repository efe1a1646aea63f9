"""Classification as a task: scores of classes, of which one is right."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.formats.fields import Fields, of_class
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.classification import page, results, words
from cnn_jax.tasks.results import Batch, Evaluation, Results, worst_of
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.task import Task

Loss = Callable[[Any, jax.Array], jax.Array]
"""(what the model returns, labels (batch,) or shares (batch, classes)) -> the loss of each image, (batch,)"""

TOP1 = Metric('top1', 'accuracy', 'points', True)
TOP5 = Metric('top5', 'accuracy (top-5)', 'points', True)
CROSS_ENTROPY = Metric('cross_entropy', 'cross-entropy', '', False)
TOP = 5  # classes that a prediction lists
CONFIDENT = 4.0  # by how much a score stands out where a loss is tried


@dataclasses.dataclass(frozen=True)
class Classification(Task):
    """One of the classes is right; the outputs are scores (batch, classes), the highest is the answer.

    In training a model may return a tuple, its scores first, then those of auxiliary heads; the loss takes it whole.
    A batch that holds 'shares' (batch, classes), as mixup makes them, is compared with these, else with 'label'.
    """

    loss_function: Loss = optax.softmax_cross_entropy_with_integer_labels

    metrics: ClassVar[tuple[Metric, ...]] = (TOP1, TOP5, LOSS, CROSS_ENTROPY)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (TOP1,)
    truths: ClassVar[tuple[str, ...]] = ('label',)
    units_are_classes: ClassVar[bool] = True

    def fields(self, data: Data) -> Fields:
        return of_class(data.num_classes)

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        return self.loss_function(outputs, batch['shares'] if 'shares' in batch else batch['label'])

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        scores = outputs[0] if isinstance(outputs, tuple) else outputs  # without auxiliary heads
        return {'top1': jnp.mean(jnp.argmax(scores, -1) == batch['label'], dtype=jnp.float32)}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image, (batch,).

        `label`; `prediction`, the first of the highest scores; `probability`, its softmax; `rank`, see `results`;
        `cross_entropy`, the plain one, by which recipes of different losses can be compared.
        """
        return {
            'label': batch['label'],
            'prediction': jnp.argmax(outputs, -1).astype(jnp.int32),
            'probability': jnp.max(jax.nn.softmax(outputs), -1),
            'rank': results.rank_of_label(outputs, batch['label']),
            'cross_entropy': results.cross_entropy(outputs, batch['label']),
        }

    def summarise(self, results_: Results, data: Data) -> dict[str, float]:
        return results.summarise(results_, data.num_classes)

    def check_loss(self, data: Data) -> None:
        labels = np.arange(min(data.num_classes, 3))
        right, wrong = (
            CONFIDENT * (np.eye(data.num_classes, dtype=np.float32)[rows] - 1)
            for rows in (labels, (labels + 1) % data.num_classes)
        )
        try:
            losses = jax.jit(lambda *sides: [self.loss(scores, {'label': labels}) for scores in sides])(right, wrong)
        except (TypeError, ValueError) as error:
            raise CnnJaxError(
                f'loss: it does not take scores (batch, classes) and labels (batch,): {str(error).splitlines()[0]}'
            ) from error
        better, worse = jax.device_get(losses)
        if better.shape != labels.shape or not np.all(better < worse):
            raise CnnJaxError(
                f'loss: a right answer has loss {np.ravel(better)[0]:.4g}, a wrong one {np.ravel(worse)[0]:.4g}; for '
                'classification it must be one number for each image, lower for the right class; give the experiment '
                'another loss or another task'
            )

    def outcome(self, split: str, evaluation: Evaluation) -> list[str]:
        rank = evaluation.results['rank']
        return [
            f'{split} accuracy {words.share(int((rank < 1).sum()), len(rank))}',
            f'{split} loss      {evaluation.summary["loss"]:.4f}',
            *words.plain_loss(evaluation, f'{split} cross-entropy '),
        ]

    def words(self, evaluation: Evaluation, data: Data) -> str:
        return words.console_text(evaluation, data.class_names)

    def table(self, evaluation: Evaluation, data: Data) -> list[tuple[str, str]]:
        return words.rows(evaluation, data.num_classes)

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return _named(example['label'], class_names)

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return _named(np.argmax(outputs), class_names)

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`prediction` and its `probability`, and `top`: the five likeliest classes with theirs."""
        likeliest = np.argsort(-np.nan_to_num(outputs, nan=-1.0), kind='stable')[:TOP]
        top = [[_named(number, class_names), float(outputs[number])] for number in likeliest]
        return {'prediction': top[0][0], 'probability': top[0][1], 'top': top}

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """prediction, probability, then class_1, probability_1, class_2, ..."""
        top = answer.get('top') or [['', '']] * min(TOP, len(class_names))
        cells = {name: answer.get(name, '') for name in ('prediction', 'probability')}
        for place, (name, probability) in enumerate(top, start=1):
            cells |= {f'class_{place}': name, f'probability_{place}': probability}
        return cells

    @property
    def probabilities(self) -> Callable[[jax.Array], jax.Array]:
        """Softmax: one of the classes is right."""
        return jax.nn.softmax

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return _named(result['prediction'], class_names)

    def result_columns(self, result: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        label, prediction = (_named(result[name], class_names) for name in ('label', 'prediction'))
        numbers = {name: float(result[name]) for name in ('probability', 'loss')}
        return {'label': label, 'prediction': prediction, **numbers}

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        """The metrics, `class_names`, and `confusion`: its rows are the true classes, its columns the predicted."""
        found = evaluation.results
        matrix = results.confusion_matrix(found['label'], found['prediction'], data.num_classes)
        return {**super().details(evaluation, data), 'class_names': data.class_names, 'confusion': matrix.tolist()}

    def group(self, example: Mapping[str, Any]) -> int:
        return int(example['label'])

    def groups(self, class_names: Sequence[str]) -> tuple[str, ...]:
        return tuple(class_names)

    def targets(self, batch: Batch, data: Data) -> dict[str, np.ndarray]:
        shares = batch['shares'] if 'shares' in batch else np.eye(data.num_classes, dtype=np.float32)[batch['label']]
        return {'targets': np.asarray(shares)}

    def captions(self, targets: Results, data: Data) -> list[str]:
        return [words.caption(shares, data.class_names) for shares in targets['targets']]

    def right(self, results_: Results) -> np.ndarray:
        return results.is_right(results_)

    def worst(self, results_: Results, *, most: int = 42) -> np.ndarray:
        """The misclassified images alone."""
        return worst_of(results_, np.flatnonzero(~results.is_right(results_)), most)

    def sections(self, run: Run) -> list[str]:
        return [page.classes(run), page.mistakes(run)]

    def cards(self, run: Run) -> list[tuple[str, str, str]]:
        return [page.accuracy_card(run)]

    def short_result(self, run: Run) -> str:
        return page.short_result(run)

    def result(self, run: Run) -> str:
        return page.result(run)


def task(*, loss: Loss = optax.softmax_cross_entropy_with_integer_labels) -> Classification:
    """Classification with a loss.

    loss: `(scores, labels) -> losses` (batch,), one for each image; with `mix` it takes shares (batch, classes) too.
    """
    return Classification(loss)


def _named(number: Any, class_names: Sequence[str]) -> str:
    return str(class_names[int(number)]) if int(number) < len(class_names) else str(int(number))
