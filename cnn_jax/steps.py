"""The numerical heart: the state of a run, one training step, one evaluation step. Pure functions, no devices named.

A step sees one device's share of the batch and the named axis 'data'; `parallel.map_step` runs it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from cnn_jax import parallel
from cnn_jax.parallel import AXIS

# Collections of variables that a training step may change, beside `params`.
MUTABLE = ('batch_stats',)

Transform = Callable[[jax.Array, jax.Array], jax.Array]  # (keys, images) -> images
Loss = Callable[[Any, jax.Array], jax.Array]  # (what the model returns, labels) -> loss of each image


@flax.struct.dataclass
class TrainState:
    """All that a resume needs, in one pytree.

    Attributes:
        step: int32 scalar, the number of steps done.
        params: what the optimizer changes.
        model_state: the other collections of the model (`batch_stats`, constants), by name.
        opt_state: the optimizer's.
        ema: the moving average of `params`, or None.
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


def init_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    preprocess: Transform,
    image_shape: tuple[int, int, int],
    seed: int,
) -> TrainState:
    """The state before the first step; pure, so `jax.eval_shape` gives its shapes without any work.

    Args:
        image_shape: (height, width, channels) of the data; `preprocess` decides what the model sees.
        seed: of the parameters, the augmentation and the dropout.
    """
    init_key, rng = jax.random.split(jax.random.key(seed))
    images = preprocess(jax.random.split(rng, 1), jnp.zeros((1, *image_shape), jnp.uint8))
    variables = dict(model.init(init_key, images, train=False))
    params = variables.pop('params')
    variables.pop('losses', None)  # regularisers: recomputed in each step
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=variables,
        opt_state=optimizer.init(params),
        ema=None,
        rng=rng,
    )


def image_keys(rng: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """A key for each image, (batch,), from (seed, epoch, index) alone: the same on any number of devices."""

    def key(epoch, index):
        return jax.random.fold_in(jax.random.fold_in(rng, epoch), index)

    return jax.vmap(key)(batch['epoch'], batch['index'])


def make_train_step(
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    preprocess: Transform,
    augment: Transform | None = None,
    learning_rate: optax.Schedule | None = None,
) -> Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, dict[str, jax.Array]]]:
    """The function (state, batch) -> (state, metrics) of one optimizer step over the global batch.

    A model may return a tuple in training, its scores first (then auxiliary heads); `loss` takes it whole.
    The metrics are scalars of this batch, before the update: `loss` with regularisers, `top1`, `gradient_norm`, and
    `learning_rate` where a schedule is given.
    """

    def train_step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        keys = image_keys(state.rng, batch)
        images = augment(keys, batch['image']) if augment else batch['image']
        images = preprocess(keys, images)
        step_key = jax.random.fold_in(state.rng, state.step)
        rngs = {'per_image': step_key, 'dropout': jax.random.fold_in(step_key, jax.lax.axis_index(AXIS))}
        params, model_state = parallel.vary((state.params, state.model_state))

        def mean_loss(params):
            variables = {'params': params, **model_state}
            mutable = [name for name in MUTABLE if name in model_state] + ['losses']
            scores, changed = model.apply(variables, images, train=True, rngs=rngs, mutable=mutable)
            changed = dict(changed)
            penalty = sum(jnp.sum(term) for term in jax.tree.leaves(changed.pop('losses', {})))
            return jnp.mean(loss(scores, batch['label'])) + penalty, (scores, changed)

        (value, (scores, changed)), gradient = jax.value_and_grad(mean_loss, has_aux=True)(params)
        scores = scores[0] if isinstance(scores, tuple) else scores  # without auxiliary heads
        top1 = jnp.mean(jnp.argmax(scores, -1) == batch['label'], dtype=jnp.float32)
        gradient, changed, value, top1 = jax.lax.pmean((gradient, changed, value, top1), AXIS)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)

        metrics = {'loss': value, 'top1': top1, 'gradient_norm': optax.tree.norm(gradient)}
        if learning_rate:
            metrics['learning_rate'] = jnp.asarray(learning_rate(state.step), jnp.float32)
        return dataclasses.replace(
            state,
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            model_state={**state.model_state, **changed},
            opt_state=opt_state,
        ), metrics

    return train_step


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
