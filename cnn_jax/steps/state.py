"""The state of a run, its first value, and its moving average."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from cnn_jax.data.augment import Batch
from cnn_jax.optim import ema_decay
from cnn_jax.steps.gradient import MUTABLE
from cnn_jax.steps.inputs import applied
from cnn_jax.steps.recipe import Recipe


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


def init_state(recipe: Recipe, batch: Batch, seed: int) -> TrainState:
    """The state before the first step; pure, so `jax.eval_shape` gives its shapes without any work.

    Args:
        batch: one row as it comes from the data, all zeros.
        seed: of the parameters, the augmentation and the dropout.
    """
    init_key, rng = jax.random.split(jax.random.key(seed))
    inputs = applied('preprocess', recipe.preprocess, jax.random.split(rng, 1), batch)
    variables = dict(recipe.task.forward(recipe.model.init, init_key, inputs, train=False))
    params = variables.pop('params')
    variables.pop('losses', None)  # regularisers: recomputed in each step
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=variables,
        opt_state=recipe.optimizer.init(params),
        ema=None,
        rng=rng,
    )
    if recipe.ema_decay is None:
        return state
    return dataclasses.replace(state, ema=jax.tree.map(jnp.copy, averaged(state)))


def moved_average(state: TrainState, decay: float) -> dict[str, Any]:
    """The moving average of parameters and running statistics, moved towards those of `state`.

    The decay is (1 + step) / (10 + step) until that reaches `decay`, so that early weights are soon forgotten.
    """
    share = ema_decay(decay)(state.step.astype(jnp.float32))
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
