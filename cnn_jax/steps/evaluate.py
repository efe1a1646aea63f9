"""TODO."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.steps.gradient import Loss
from cnn_jax.steps.inputs import Transform, image_keys
from cnn_jax.tasks.classification.results import rank_of_label


def make_eval_step(
    *, model: nn.Module, loss: Loss, preprocess: Transform
) -> Callable[[dict[str, Any], dict[str, jax.Array]], dict[str, jax.Array]]:
    """The function (variables, batch) -> results of each image, (batch,) arrays.

    `index` and `mask` as in the batch; `label`; `loss`; `prediction`, the class with the highest score (the first of
    equals); `probability`, its softmax; `rank`, how many classes come before the true one (0: top-1 is right). Scores
    that are not numbers rank the true class last, so that a broken model never looks right.
    """

    def eval_step(variables: dict[str, Any], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        with jax.default_matmul_precision('highest'):
            images = preprocess(image_keys(jax.random.key(0), batch), batch['image'])
            scores: Any = model.apply(variables, images, train=False)
        prediction = jnp.argmax(scores, -1).astype(jnp.int32)
        return {
            'index': batch['index'],
            'mask': batch['mask'],
            'label': batch['label'],
            'loss': loss(scores, batch['label']),
            'prediction': prediction,
            'probability': jnp.max(jax.nn.softmax(scores), -1),
            'rank': rank_of_label(scores, batch['label']),
        }

    return eval_step
