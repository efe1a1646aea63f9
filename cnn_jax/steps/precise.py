"""Precise BatchNorm: for evaluation, statistics of many training images in the place of the running averages.

Wu and Johnson 2021, arXiv:2105.07576, section 3: running averages lag behind the weights; the mean over batches of
each batch's mean, and of its second moment, does not.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from cnn_jax.devices import mapping
from cnn_jax.devices.mapping import AXIS
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
        rngs = {name: jax.random.key(1) for name in ('per_image', 'dropout')}
        _, changed = step.forward(mapping.vary(variables), inputs, rngs)
        return jax.lax.pmean(changed[STATISTICS], AXIS), {}

    return mapping.map_step(forward, mesh, donate=False)


def precise_variables(variables: dict[str, Any], batches: Iterable[Any], forward: Pass) -> dict[str, Any]:
    """The variables with every `mean` and `var` of `batch_stats` computed from the batches, at least one.

    A layer that keeps a share m of the old average shows a batch's own statistics b in what it makes of zeros,
    (1 - m) b, and m in what it makes of ones, m + (1 - m) b: so the shares need not be known. A layer that is held
    keeps all, m = 1, and so its running averages. What is no pair of a `mean` and a `var` stays.
    """
    start = variables[STATISTICS]
    zeros, ones = (_filled(start, value) for value in (0, 1))

    def after(statistics: Any, batch: Any) -> Any:
        return forward({**variables, STATISTICS: statistics}, batch)[0]

    def own(first: jax.Array, seen: jax.Array, share: jax.Array) -> jax.Array:
        return jnp.where(share == 1, first, seen / jnp.where(share == 1, 1, 1 - share))

    kept, moments, count = None, None, 0
    for batch in batches:
        seen = after(zeros, batch)
        if kept is None:
            kept = jax.tree.map(jnp.subtract, after(ones, batch), seen)
        one = _with_second_moments(jax.tree.map(own, start, seen, kept))
        moments = one if moments is None else jax.tree.map(jnp.add, moments, one)
        count += 1
    mean = _with_variances(jax.tree.map(lambda total: total / count, moments))
    return {**variables, STATISTICS: _pairs_of(mean, start)}


def _filled(statistics: Any, value: float) -> Any:
    """Every pair of a `mean` and a `var` filled with a value; what else there is stays, a whitening kernel for one."""
    if 'mean' in statistics and 'var' in statistics:
        return {**statistics, **{name: jnp.full_like(statistics[name], value) for name in ('mean', 'var')}}
    return {
        name: _filled(branch, value) if isinstance(branch, Mapping) else branch for name, branch in statistics.items()
    }


def _pairs_of(statistics: Any, others: Any) -> Any:
    """The pairs of one tree among all that another has."""
    if 'mean' in others and 'var' in others:
        return {**others, 'mean': statistics['mean'], 'var': statistics['var']}
    return {
        name: _pairs_of(statistics[name], branch) if isinstance(branch, Mapping) else branch
        for name, branch in others.items()
    }


def _with_second_moments(statistics: Any) -> Any:
    """`var` of every pair with a `mean` becomes the mean square."""
    return _of_pairs(statistics, lambda mean, var: var + mean**2)


def _with_variances(moments: Any) -> Any:
    """The inverse of `_with_second_moments`."""
    return _of_pairs(moments, lambda mean, square: jnp.maximum(square - mean**2, 0))


def _of_pairs(tree: Any, function: Callable[[jax.Array, jax.Array], jax.Array]) -> Any:
    if 'mean' in tree and 'var' in tree:
        return {**tree, 'var': function(tree['mean'], tree['var'])}
    return {
        name: _of_pairs(branch, function) if isinstance(branch, Mapping) else branch for name, branch in tree.items()
    }
