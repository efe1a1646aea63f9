"""One evaluation step: what is kept of each image, one device's view of the batch."""

from collections.abc import Callable
from typing import Any

import jax

from cnn_jax.data.augment import Batch
from cnn_jax.steps.inputs import evaluation_inputs
from cnn_jax.steps.recipe import Parts, Recipe

EvalStep = Callable[[dict[str, Any], Batch], dict[str, jax.Array]]


def make_eval_step(recipe: Recipe | Parts) -> EvalStep:
    """The function (variables, batch) -> results of each image, (batch, ...) arrays.

    `index` and `mask` as in the batch; `loss`; and the task's own (see `tasks.task.Task.results`).
    """
    task = recipe.task

    def eval_step(variables: dict[str, Any], batch: Batch) -> dict[str, jax.Array]:
        with jax.default_matmul_precision('highest'):
            inputs = evaluation_inputs(batch, preprocess=recipe.preprocess)
            outputs = task.forward(recipe.model.apply, variables, inputs, train=False)
        kept = {name: batch[name] for name in ('index', 'mask')}
        return {**kept, 'loss': task.loss(outputs, inputs), **task.results(outputs, inputs)}

    return eval_step
