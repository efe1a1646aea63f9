"""Precise BatchNorm: for evaluation, statistics of many training images in the place of the running averages.

Wu and Johnson 2021, arXiv:2105.07576, section 3: running averages lag behind the weights; the mean over batches of
each batch's mean, and of its second moment, does not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from cnn_jax.devices import mapping
from cnn_jax.devices.mapping import AXIS
from cnn_jax.steps.inputs import training_rngs
from cnn_jax.steps.train import TrainStep

STATISTICS = 'batch_stats'

Pass = Callable[[dict[str, Any], Any], tuple[dict[str, Any], dict[str, jax.Array]]]


def make_pass(step: TrainStep, mesh: Mesh) -> Pass:
    """The function (variables, batch) -> (running statistics after one forward pass in training, {}), on all devices.

    Images and model are those of the training step: augmented, mixed, with the layers held that it holds. Dropout is
    on, with the same key for every batch: the same state has the same statistics.
    """

    def forward(variables: dict[str, Any], batch: dict[str, jax.Array]) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        inputs = step.inputs(batch, jax.random.key(0))
        rngs = training_rngs(jax.random.key(0), jnp.zeros((), jnp.int32))
        _, changed = step.forward(mapping.vary(variables), inputs, rngs)
        return jax.lax.pmean(changed[STATISTICS], AXIS), {}

    return mapping.map_step(forward, mesh, donate=False)


def precise_variables(variables: dict[str, Any], batches: Iterable[Any], forward: Pass) -> dict[str, Any]:
    """The variables with every `mean` and `var` of `batch_stats` computed from the batches.

    A layer that keeps a share m of the old average shows a batch's own statistics b in what it makes of zeros,
    s = (1 - m) b, and m in what it makes of a number p, s + m p: so the shares need not be known. p is a power of two
    as large as s, so that rounding leaves m to seven digits. A layer that is held keeps all, m = 1, and so its running
    averages. What is no pair of a `mean` and a `var` stays, such as a whitening kernel.

    Raises:
        ValueError: no batches.
    """
    start = variables[STATISTICS]

    def after(statistics: Any, batch: Any) -> Any:
        filled = _pairs_of(statistics, start)
        return forward({**variables, STATISTICS: filled}, batch)[0]

    def own(first: jax.Array, seen: jax.Array, share: jax.Array) -> jax.Array:
        return jnp.where(share == 1, first, seen / jnp.where(share == 1, 1, 1 - share))

    kept, found = None, []
    for batch in batches:
        seen = after(jax.tree.map(jnp.zeros_like, start), batch)
        if kept is None:
            probe = jax.tree.map(_power_above, seen)
            kept = jax.tree.map(lambda new, old, p: (new - old) / p, after(probe, batch), seen, probe)
        found.append(jax.tree.map(own, start, seen, kept))
    if not found:
        raise ValueError('batches: got none; give at least 1')
    return {**variables, STATISTICS: _pairs_of(_pooled(found), start)}


def _power_above(value: jax.Array) -> jax.Array:
    """The least power of two, from 1 on, that is not below the size of a value."""
    return jnp.exp2(jnp.ceil(jnp.log2(jnp.maximum(jnp.abs(value), 1))))


def _is_pair(statistics: Any) -> bool:
    return 'mean' in statistics and 'var' in statistics


def _pairs_of(statistics: Any, others: Any) -> Any:
    """The pairs of one tree among all that another has."""
    if _is_pair(others):
        return {**others, 'mean': statistics['mean'], 'var': statistics['var']}
    return {
        name: _pairs_of(statistics[name], branch) if isinstance(branch, Mapping) else branch
        for name, branch in others.items()
    }


def _pooled(parts: Sequence[Any]) -> Any:
    """The statistics of batches together: means of both, and the spread of the batches' means in the variance."""
    if _is_pair(parts[0]):
        means, variances = (jnp.stack([part[name] for part in parts]) for name in ('mean', 'var'))
        mean = jnp.mean(means, 0)
        return {**parts[0], 'mean': mean, 'var': jnp.mean(variances, 0) + jnp.mean(jnp.square(means - mean[None]), 0)}
    return {
        name: _pooled([part[name] for part in parts]) if isinstance(branch, Mapping) else branch
        for name, branch in parts[0].items()
    }
