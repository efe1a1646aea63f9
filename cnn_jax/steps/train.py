"""One training step: pure, one device's view of the batch, collectives over the named axis 'data'.

`devices.mapping.map_step` runs it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnn_jax.data.augment import Batch
from cnn_jax.devices import mapping
from cnn_jax.devices.mapping import AXIS
from cnn_jax.optim import global_norm
from cnn_jax.steps.gradient import (
    Forward,
    Gradient,
    accumulated,
    kept_types,
    make_forward,
    make_gradient,
    sharpness_aware,
)
from cnn_jax.steps.inputs import training_inputs, training_rngs
from cnn_jax.steps.recipe import Recipe
from cnn_jax.steps.state import TrainState, keep_unless, moved_average


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """One optimizer step `(state, batch) -> (state, metrics)`, one device's view; in parts, for those who need one.

    Attributes:
        inputs: `(batch, rng) -> batch`: what model and loss are shown; `rng` is the state's.
        forward: `(variables, inputs, rngs) -> (outputs, changed collections)`, as the gradient calls the model.
        slope: `(params, model_state, inputs, rngs) -> Gradient` of this device's share of the batch.
        update: `(state, Gradient) -> (state, metrics)` with the mean over the devices; names no device.
    """

    inputs: Callable[[Batch, jax.Array], Batch]
    forward: Forward
    slope: Callable[[Any, dict[str, Any], Batch, dict[str, jax.Array]], Gradient]
    update: Callable[[TrainState, Gradient], tuple[TrainState, dict[str, jax.Array]]]

    def gradient(self, params: Any, model_state: dict[str, Any], batch: Batch, rng: jax.Array, step: jax.Array):
        """The `Gradient` of this device's share of a batch as it comes from the data."""
        return self.slope(params, model_state, self.inputs(batch, rng), training_rngs(rng, step))

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        params, model_state = mapping.vary((state.params, state.model_state))
        own = self.gradient(params, model_state, batch, state.rng, state.step)
        return self.update(state, jax.lax.pmean(own, AXIS))


def make_train_step(recipe: Recipe) -> TrainStep:
    """The step of one optimizer update over the global batch.

    The metrics are scalars of this batch, before the update: `loss` with regularisers, those of the task,
    `gradient_norm`, `learning_rate` where a schedule is given, `skipped` (0 or 1) where bad steps are.
    """
    forward = make_forward(recipe.model, recipe.task)
    slope = make_gradient(forward, recipe.task)
    if recipe.accumulate > 1:
        slope = accumulated(slope, recipe.accumulate)
    if recipe.sam_radius is not None:
        slope = sharpness_aware(slope, recipe.sam_radius)

    def inputs(batch: Batch, rng: jax.Array) -> Batch:
        return training_inputs(batch, rng, preprocess=recipe.preprocess, augment=recipe.augment, mix=recipe.mix)

    return TrainStep(inputs, forward, slope, make_update(recipe))


def make_update(recipe: Recipe) -> Callable[[TrainState, Gradient], tuple[TrainState, dict[str, jax.Array]]]:
    """What a step does with the mean gradient: `(state, Gradient) -> (state, metrics)`."""
    # Some optimizers want the loss: optax.contrib.reduce_on_plateau.
    optimizer = optax.with_extra_args_support(recipe.optimizer)

    def update(state: TrainState, mean: Gradient) -> tuple[TrainState, dict[str, jax.Array]]:
        updates, opt_state = optimizer.update(mean.params, state.opt_state, state.params, value=mean.metrics['loss'])
        metrics = {**mean.metrics, 'gradient_norm': global_norm(mean.params)}
        if recipe.learning_rate:
            metrics['learning_rate'] = jnp.asarray(recipe.learning_rate(state.step), jnp.float32)
        after = dataclasses.replace(
            state,
            params=optax.apply_updates(state.params, updates),
            model_state={**state.model_state, **mean.model_state},
            opt_state=kept_types(opt_state, state.opt_state),
        )
        if recipe.ema_decay is not None:
            after = dataclasses.replace(after, ema=moved_average(after, recipe.ema_decay))
        if recipe.on_nan == 'skip':
            finite = jnp.isfinite(metrics['loss']) & jnp.isfinite(metrics['gradient_norm'])
            after = keep_unless(finite, after, state)
            metrics['skipped'] = 1 - finite.astype(jnp.float32)
        return dataclasses.replace(after, step=state.step + 1), metrics

    return update
