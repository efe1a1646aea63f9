"""Losses that optax lacks: one value per example."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def lenet_mle_loss(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """The squared distance to the correct class: equation 8 of LeCun et al. 1998.

    scores: (batch, classes), minus the squared distances; labels: (batch,) int. Returns (batch,), each at least 0.
    """
    return -jnp.take_along_axis(scores, labels[:, None], axis=-1)[:, 0]


def lenet_map_loss(scores: jax.Array, labels: jax.Array, *, j: float = 0.1) -> jax.Array:
    """Equation 9 of LeCun et al. 1998, which also pushes the distances to the wrong classes up.

    With y = -scores it is y[label] + log(exp(-j) + sum_i exp(-y[i])). The constant j (the paper's letter) keeps wrong
    classes that are already far from being pushed further; 0.1 as there is no figure in the paper.
    scores: (batch, classes), minus the squared distances; labels: (batch,) int. Returns (batch,).
    """
    competition = jnp.logaddexp(jax.nn.logsumexp(scores, axis=-1), jnp.asarray(-j, scores.dtype))
    return lenet_mle_loss(scores, labels) + competition


def with_auxiliary_heads(
    loss: Callable[[jax.Array, jax.Array], jax.Array], *, weight: float = 0.3
) -> Callable[[Any, jax.Array], jax.Array]:
    """A loss of (logits, *auxiliary logits), as GoogLeNet returns in training: the heads count `weight` each.

    A single array, as in evaluation, gets the loss alone. 0.3 is the weight of Szegedy et al. 2014, arXiv:1409.4842.
    """

    def total(scores: Any, labels: jax.Array) -> jax.Array:
        if not isinstance(scores, tuple):
            return loss(scores, labels)
        logits, *auxiliary = scores
        return sum((weight * loss(head, labels) for head in auxiliary), start=loss(logits, labels))

    return total
