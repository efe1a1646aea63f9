"""Classes in an order: an answer is judged by how many classes it is from the truth."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.formats.fields import Fields, of_class
from cnn_jax.data.pipeline import Data
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.results import Batch, Results
from cnn_jax.tasks.task import Task

DISTANCE = Metric('distance', 'distance in classes', '', False)


@dataclasses.dataclass(frozen=True)
class Ordinal(Task):
    """One of the classes is right, and the others are as wrong as they are far; outputs are scores (batch, classes).

    The headline is the mean distance between the answer and the truth, in classes. The loss is cross-entropy, and
    `pull` times the distance that the probabilities expect.
    """

    pull: float = 0.1

    metrics: ClassVar[tuple[Metric, ...]] = (DISTANCE, LOSS)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (DISTANCE,)
    truths: ClassVar[tuple[str, ...]] = ('label',)

    def fields(self, data: Data) -> Fields:
        return of_class(data.num_classes)

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        labels = batch['label']
        far = jnp.abs(jnp.arange(outputs.shape[-1])[None] - labels[:, None])  # (batch, classes)
        expected = jnp.sum(jax.nn.softmax(outputs) * far, -1)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels) + self.pull * expected

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        return {'distance': jnp.mean(_distance(outputs, batch['label']), dtype=jnp.float32)}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image, (batch,): `label`, `prediction`, and `distance`, in classes."""
        return {
            'label': batch['label'],
            'prediction': jnp.argmax(outputs, -1).astype(jnp.int32),
            'distance': _distance(outputs, batch['label']),
        }

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images = len(results['loss'])
        means = {name: float(np.sum(results[name], dtype=np.float64) / images) for name in ('distance', 'loss')}
        return {**means, 'images': images}

    @property
    def arguments(self) -> dict[str, Any]:
        return {'pull': self.pull}

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return class_names[int(example['label'])]

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return class_names[int(np.argmax(outputs))]


def task(*, pull: float = 0.1) -> Ordinal:
    """Classes in an order. pull: how much the loss minds the distance, beside cross-entropy; 0: not at all."""
    return Ordinal(pull)


def _distance(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """How many classes the answer is from the truth, (batch,); as far as can be where scores are not numbers."""
    far = jnp.abs(jnp.argmax(scores, -1) - labels)
    return jnp.where(jnp.isnan(scores).any(-1), scores.shape[-1] - 1, far).astype(jnp.float32)
