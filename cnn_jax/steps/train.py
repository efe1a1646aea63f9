"""The numerical heart: the state of a run, one training step, one evaluation step. Pure functions, no devices named.

A step sees one device's share of the batch and the named axis 'data'; `parallel.map_step` runs it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from cnn_jax.devices import mapping
from cnn_jax.devices.mapping import AXIS
from cnn_jax.steps.gradient import Gradient, Loss, accumulated, make_gradient, sharpness_aware
from cnn_jax.steps.inputs import Mix, Transform, training_inputs, training_rngs
from cnn_jax.steps.state import TrainState, keep_unless, moved_average

OnNan = Literal['stop', 'skip']


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """One optimizer step `(state, batch) -> (state, metrics)`, one device's view; in two halves for `parallel`.

    Attributes:
        gradient: `(params, model_state, batch, rng, step) -> Gradient` of this device's share of the batch.
        update: `(state, Gradient) -> (state, metrics)` with the mean over the devices; names no device.
    """

    gradient: Callable[[Any, dict[str, Any], dict[str, jax.Array], jax.Array, jax.Array], Gradient]
    update: Callable[[TrainState, Gradient], tuple[TrainState, dict[str, jax.Array]]]

    def __call__(self, state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        params, model_state = mapping.vary((state.params, state.model_state))
        own = self.gradient(params, model_state, batch, state.rng, state.step)
        return self.update(state, jax.lax.pmean(own, AXIS))


def make_train_step(
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    preprocess: Transform,
    augment: Transform | None = None,
    mix: Mix | None = None,
    learning_rate: optax.Schedule | None = None,
    accumulate: int = 1,
    sam_radius: float | None = None,
    ema_decay: float | None = None,
    on_nan: OnNan = 'stop',
) -> TrainStep:
    """The step of one optimizer update over the global batch.

    A model may return a tuple in training, its scores first (then auxiliary heads); `loss` takes it whole.
    The metrics are scalars of this batch, before the update: `loss` with regularisers, `top1` against the labels,
    `gradient_norm`, `learning_rate` where a schedule is given, `skipped` (0 or 1) where bad steps are.

    Args:
        mix: `(keys, images, labels) -> (images, targets)` after `preprocess`; the loss then takes the targets.
        learning_rate: the optimizer's schedule, for the metrics.
        accumulate: parts that each device's images are taken in, see `gradient.accumulated`.
        sam_radius: of sharpness-aware minimisation, see `gradient.sharpness_aware`; None: without.
        ema_decay: of the moving average in `TrainState.ema`; None: there is none.
        on_nan: 'skip' leaves all but the step number as it was where the loss or the gradient is not finite.
    """
    informed = optax.with_extra_args_support(optimizer)  # some want the loss: optax.contrib.reduce_on_plateau
    whole = make_gradient(model, loss)
    if accumulate > 1:
        whole = accumulated(whole, accumulate)
    if sam_radius is not None:
        whole = sharpness_aware(whole, sam_radius)

    def gradient(params, model_state, batch, rng, step) -> Gradient:
        inputs = training_inputs(batch, rng, preprocess=preprocess, augment=augment, mix=mix)
        return whole(params, model_state, inputs, training_rngs(rng, step))

    def update(state: TrainState, mean: Gradient) -> tuple[TrainState, dict[str, jax.Array]]:
        updates, opt_state = informed.update(mean.params, state.opt_state, state.params, value=mean.metrics['loss'])
        metrics = {**mean.metrics, 'gradient_norm': optax.tree.norm(mean.params)}
        if learning_rate:
            metrics['learning_rate'] = jnp.asarray(learning_rate(state.step), jnp.float32)
        after = dataclasses.replace(
            state,
            params=optax.apply_updates(state.params, updates),
            model_state={**state.model_state, **mean.model_state},
            opt_state=opt_state,
        )
        if ema_decay is not None:
            after = dataclasses.replace(after, ema=moved_average(after, ema_decay))
        if on_nan == 'skip':
            finite = jnp.isfinite(metrics['loss']) & jnp.isfinite(metrics['gradient_norm'])
            after = keep_unless(finite, after, state)
            metrics['skipped'] = 1 - finite.astype(jnp.float32)
        return dataclasses.replace(after, step=state.step + 1), metrics

    return TrainStep(gradient, update)
