"""The state of a run, its first value, and its moving average."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from cnn_jax.data.augment import Batch
from cnn_jax.optim import ema_decay
from cnn_jax.steps.gradient import MUTABLE
from cnn_jax.steps.inputs import applied, image_keys
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
        rng: a typed key that never changes; the randomness of a step and of an image is numbered (see `inputs`).
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


def init_state(recipe: Recipe, batch: Batch, key: jax.Array) -> TrainState:
    """The state before the first step; pure, so `jax.eval_shape` gives its shapes without any work.

    Args:
        batch: one row as it comes from the data, all zeros.
        key: of the seed, for the parameters, the augmentation and the dropout.
    """
    init_key, rng = jax.random.split(key)
    inputs = applied('preprocess', recipe.preprocess, image_keys(rng, batch), batch)
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
    """`after` where the scalar `good` is true, else `before`, whose optimizer has the clocks of `after`.

    So a schedule goes on in a step that is skipped, as `step` does: the rate of the next step is that of its number.
    """

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return new if new is old else jnp.where(good, new, old)

    skipped = dataclasses.replace(before, opt_state=with_clocks(before.opt_state, after.opt_state))
    return jax.tree.map(choose, after, skipped)


def with_clocks(state: Any, later: Any) -> Any:
    """An optimizer's state with the counts of a later one that tell the time, and nothing else of it.

    A part that holds whole numbers alone is a clock (`optax.ScaleByScheduleState`), and so are the count and the
    values of `optax.inject_hyperparams`. A count beside other numbers counts what is in these, as Adam's does of its
    moments: it stays with them.
    """
    if hasattr(state, 'hyperparams') and hasattr(state, 'inner_state'):
        return later._replace(inner_state=with_clocks(state.inner_state, later.inner_state))
    if isinstance(state, Mapping):
        return type(state)({name: with_clocks(part, later[name]) for name, part in state.items()})  # type: ignore[call-arg]
    if not isinstance(state, tuple | list):
        return state
    if hasattr(state, '_fields'):
        leaves = jax.tree.leaves(state)
        if leaves and all(jnp.issubdtype(leaf.dtype, jnp.integer) and leaf.ndim == 0 for leaf in leaves):
            return later
        if any(hasattr(part, 'dtype') for part in state):
            return state
        return type(state)(*map(with_clocks, state, later))
    return type(state)(map(with_clocks, state, later))
