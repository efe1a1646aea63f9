"""The numerical heart: the state of a run, one training step, one evaluation step. Pure functions, no devices named.

A step sees one device's share of the batch and the named axis 'data'; `parallel.map_step` runs it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from cnn_jax import parallel
from cnn_jax.gradient import (
    MUTABLE,
    Gradient,
    Inputs,
    Loss,
    accumulated,
    make_gradient,
    sharpness_aware,
)
from cnn_jax.parallel import AXIS

Transform = Callable[[jax.Array, jax.Array], jax.Array]  # (keys, images) -> images
Mix = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]  # (keys, images, labels) -> (, targets)
OnNan = Literal['stop', 'skip']


@flax.struct.dataclass
class TrainState:
    """All that a resume needs, in one pytree.

    Attributes:
        step: int32 scalar, the number of steps done.
        params: what the optimizer changes.
        model_state: the other collections of the model (`batch_stats`, constants), by name.
        opt_state: the optimizer's.
        ema: the moving average of `params` and of running statistics, as variables; or None.
        rng: a typed key that never changes; the randomness of step k is `fold_in(rng, k)`.
    """

    step: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    ema: Any
    rng: jax.Array

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes."""
        return {'params': self.params, **self.model_state}

    @property
    def ema_variables(self) -> dict[str, Any]:
        """What `model.apply` takes, averages in the place of the last values; only where there are averages."""
        return {**self.variables, **self.ema}


def init_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    preprocess: Transform,
    image_shape: tuple[int, int, int],
    seed: int,
    with_ema: bool = False,
) -> TrainState:
    """The state before the first step; pure, so `jax.eval_shape` gives its shapes without any work.

    Args:
        image_shape: (height, width, channels) of the data; `preprocess` decides what the model sees.
        seed: of the parameters, the augmentation and the dropout.
        with_ema: whether a moving average goes along.
    """
    init_key, rng = jax.random.split(jax.random.key(seed))
    images = preprocess(jax.random.split(rng, 1), jnp.zeros((1, *image_shape), jnp.uint8))
    variables = dict(model.init(init_key, images, train=False))
    params = variables.pop('params')
    variables.pop('losses', None)  # regularisers: recomputed in each step
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=variables,
        opt_state=optimizer.init(params),
        ema=None,
        rng=rng,
    )
    return dataclasses.replace(state, ema=jax.tree.map(jnp.copy, averaged(state))) if with_ema else state


def image_keys(rng: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """A key for each image, (batch,), from (seed, epoch, index) alone: the same on any number of devices."""

    def key(epoch, index):
        return jax.random.fold_in(jax.random.fold_in(rng, epoch), index)

    return jax.vmap(key)(batch['epoch'], batch['index'])


def training_inputs(
    batch: dict[str, jax.Array],
    rng: jax.Array,
    *,
    preprocess: Transform,
    augment: Transform | None = None,
    mix: Mix | None = None,
) -> Inputs:
    """What the model is shown of a training batch, and what the loss compares with; `rng` is the state's."""
    keys = image_keys(rng, batch)
    images = augment(keys, batch['image']) if augment else batch['image']
    images, targets = preprocess(keys, images), batch['label']
    if mix:
        images, targets = mix(jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys), images, targets)
    return Inputs(images, targets, batch['label'])


def training_rngs(rng: jax.Array, step: jax.Array) -> dict[str, jax.Array]:
    """The random streams of a model in a training step: `per_image` the same on all devices, `dropout` of this one."""
    step_key = jax.random.fold_in(rng, step)
    return {'per_image': step_key, 'dropout': jax.random.fold_in(step_key, jax.lax.axis_index(AXIS))}


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
        params, model_state = parallel.vary((state.params, state.model_state))
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


def moved_average(state: TrainState, decay: float) -> dict[str, Any]:
    """The moving average of parameters and running statistics, moved towards those of `state`.

    The decay is (1 + step) / (10 + step) until that reaches `decay`, so that early weights are soon forgotten.
    """
    step = state.step.astype(jnp.float32)
    share = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(
        lambda old, new: (share * old + (1 - share) * new).astype(old.dtype), state.ema, averaged(state)
    )


def averaged(state: TrainState) -> dict[str, Any]:
    """The variables of a state that its moving average is of: parameters and running statistics."""
    return {'params': state.params, **{name: state.model_state[name] for name in MUTABLE if name in state.model_state}}


def keep_unless(good: jax.Array, after: TrainState, before: TrainState) -> TrainState:
    """`after` where the scalar `good` is true, else `before`."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return new if new is old else jnp.where(good, new, old)

    return jax.tree.map(choose, after, before)


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


def rank_of_label(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """How many classes score higher than the true one, equals counted in class order; int32 (batch,).

    Args:
        scores: (batch, classes). A row with a NaN gives the number of classes: wrong for every k.
        labels: (batch,) int32.
    """
    classes = jnp.arange(scores.shape[-1])[None]  # (1, classes)
    own = jnp.take_along_axis(scores, labels[:, None], -1)  # (batch, 1)
    before = (scores > own) | ((scores == own) & (classes < labels[:, None]))
    rank = jnp.sum(before, -1, dtype=jnp.int32)
    return jnp.where(jnp.any(jnp.isnan(scores), -1), scores.shape[-1], rank).astype(jnp.int32)
