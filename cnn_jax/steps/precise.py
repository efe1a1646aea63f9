"""Precise BatchNorm: for evaluation, statistics of many training images in the place of the running averages.

Wu and Johnson 2021, arXiv:2105.07576, section 3: running averages lag behind the weights; the mean over batches of
each batch's mean, and of its second moment, does not.
"""

from collections.abc import Callable, Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from cnn_jax.devices import mapping
from cnn_jax.devices.mapping import AXIS
from cnn_jax.steps.inputs import Transform, training_inputs

STATISTICS = 'batch_stats'

Pass = Callable[[dict[str, Any], Any], tuple[dict[str, Any], dict[str, jax.Array]]]


def make_pass(model: nn.Module, preprocess: Transform, augment: Transform | None, mesh: Mesh) -> Pass:
    """The function (variables, batch) -> (running statistics after one forward pass in training, {}), on all devices.

    Dropout is on, as in training, with the same key for every batch: the same state has the same statistics.
    """

    def forward(variables: dict[str, Any], batch: dict[str, jax.Array]) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        images = training_inputs(batch, jax.random.key(0), preprocess=preprocess, augment=augment).images
        rngs = {name: jax.random.key(1) for name in ('per_image', 'dropout')}
        _, changed = model.apply(mapping.vary(variables), images, train=True, rngs=rngs, mutable=[STATISTICS, 'losses'])
        return jax.lax.pmean(changed[STATISTICS], AXIS), {}

    return mapping.map_step(forward, mesh, donate=False)


def precise_variables(variables: dict[str, Any], batches: Iterable[Any], forward: Pass) -> dict[str, Any]:
    """The variables with every `mean` and `var` of `batch_stats` computed from the batches, at least one.

    A layer that keeps a share m of the old average shows a batch's own statistics b in what it makes of zeros,
    (1 - m) b, and m in what it makes of ones, m + (1 - m) b: so the shares need not be known.
    """
    start = variables[STATISTICS]
    zeros, ones = (jax.tree.map(lambda leaf, value=value: jnp.full_like(leaf, value), start) for value in (0, 1))

    def after(statistics: Any, batch: Any) -> Any:
        return forward({**variables, STATISTICS: statistics}, batch)[0]

    kept, moments, count = None, None, 0
    for batch in batches:
        seen = after(zeros, batch)
        if kept is None:
            kept = jax.tree.map(jnp.subtract, after(ones, batch), seen)
        own = _with_second_moments(jax.tree.map(lambda value, share: value / (1 - share), seen, kept))
        moments = own if moments is None else jax.tree.map(jnp.add, moments, own)
        count += 1
    mean = jax.tree.map(lambda total: total / count, moments)
    return {**variables, STATISTICS: _with_variances(mean)}


def _with_second_moments(statistics: Any) -> Any:
    """`var` of every pair with a `mean` becomes the mean square."""
    return _of_pairs(statistics, lambda mean, var: var + mean**2)


def _with_variances(moments: Any) -> Any:
    """The inverse of `_with_second_moments`."""
    return _of_pairs(moments, lambda mean, square: jnp.maximum(square - mean**2, 0))


def _of_pairs(tree: Any, function: Callable[[jax.Array, jax.Array], jax.Array]) -> Any:
    if 'mean' in tree and 'var' in tree:
        return {**tree, 'var': function(tree['mean'], tree['var'])}
    return {name: _of_pairs(branch, function) for name, branch in tree.items()}
