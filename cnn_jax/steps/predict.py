"""One prediction step: what the model says of each image, one device's view of the batch."""

from collections.abc import Callable
from typing import Any

import jax

from cnn_jax.data.augment import Batch
from cnn_jax.steps.inputs import evaluation_inputs
from cnn_jax.steps.recipe import Parts, Recipe

PredictStep = Callable[[dict[str, Any], Batch], Any]


def make_predict_step(recipe: Recipe | Parts) -> PredictStep:
    """The function (variables, batch) -> the model's outputs as the task reads them, (batch, ...) arrays.

    The images go the way of an evaluation, in the same precision; the batch has no targets.
    """
    task = recipe.task

    def predict_step(variables: dict[str, Any], batch: Batch) -> Any:
        with jax.default_matmul_precision('highest'):
            inputs = evaluation_inputs(batch, preprocess=recipe.preprocess)
            return task.read(task.forward(recipe.model.apply, variables, inputs, train=False))

    return predict_step
