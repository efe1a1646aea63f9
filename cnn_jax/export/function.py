"""The function that is exported: from the pixels of images to the answer, with preprocessing and model inside."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment
from cnn_jax.steps.predict import make_predict_step
from cnn_jax.steps.recipe import Parts
from cnn_jax.tracing.record import Called, record

Function = Callable[[Any, jax.Array], dict[str, jax.Array]]
"""(variables, images uint8 (batch, height, width, channels)) -> arrays (batch, ...) by name."""

_ANSWER = ('probabilities', 'outputs')


def make_function(experiment: Experiment, *, with_layers: bool = False) -> Function:
    """The evaluation of images by an experiment's model, a pure function of variables and images.

    It gives `probabilities`, (batch, classes) float32, where the task knows them, else what the model returns:
    `outputs`, or a name for each of several arrays. What it computes with is float32, whatever the run's `dtype`.

    with_layers: the outputs of the named layers come too, in the order in which the calls end.

    Raises:
        CnnJaxError: the model takes more than images.
    """
    task, model = experiment.task, in_float32(experiment.model)
    if task.model_inputs:
        raise CnnJaxError(
            f'task {task.name}: the model takes {", ".join(task.model_inputs)} beside the images; '
            '--mode=export writes functions of images alone'
        )
    rows, step = experiment.data.row_shapes(), make_predict_step(Parts(model, task, experiment.preprocess))

    def function(variables: Any, images: jax.Array) -> dict[str, jax.Array]:
        layers: dict[str, jax.Array] = {}
        # A preprocessing may look at the other fields of a batch. Here they are zeros.
        others = {
            name: jnp.zeros((images.shape[0], *shape), dtype)
            for name, (shape, dtype) in rows.items()
            if name != 'image'
        }
        with record(_keeping(layers)):
            named = _named(step(variables, {**others, 'image': images}), known=task.probabilities is not None)
        return {**layers, **named} if with_layers else named

    return function


def in_float32(model: Any) -> Any:
    """The model without a policy of 16 bits, where it or its trunk has one; else itself."""
    changed: dict[str, Any] = {'dtype': None} if getattr(model, 'dtype', None) is not None else {}
    trunk = getattr(model, 'trunk', None)
    if trunk is not None and (plain := in_float32(trunk)) is not trunk:
        changed['trunk'] = plain
    return model.clone(**changed) if changed else model


def _keeping(layers: dict[str, jax.Array]) -> Callable[[Called], None]:
    """A listener that keeps what the named layers return; of a layer called twice, the last."""

    def ended(call: Called) -> None:
        if call.path and (output := call.first_output) is not None:
            layers.pop(call.name, None)
            layers[call.name] = output

    return ended


def _named(outputs: Any, *, known: bool) -> dict[str, jax.Array]:
    if known:
        return {_ANSWER[0]: outputs}
    leaves = jax.tree.leaves_with_path(outputs)
    if len(leaves) == 1:
        return {_ANSWER[1]: leaves[0][1]}
    return {jax.tree_util.keystr(path, simple=True, separator='_'): leaf for path, leaf in leaves}
