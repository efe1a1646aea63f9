"""Losses that optax lacks: one value per example."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

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


def cross_entropy(scores: jax.Array, labels: jax.Array, *, smoothing: float = 0.0) -> jax.Array:
    """Cross-entropy with classes or with soft targets, whose labels are smoothed: Szegedy et al. 2015, 1512.00567.

    scores: (batch, classes) logits; labels: (batch,) int, or (batch, classes) shares that add up to 1, as mixup makes
    them. A share t becomes (1 - smoothing) t + smoothing / classes. Returns (batch,).

    A class without a share counts nothing, also where its logit is minus infinity; one with a share then makes the loss
    infinite.
    """
    targets = soft_targets(labels, scores.shape[-1], scores.dtype)
    targets = (1 - smoothing) * targets + smoothing / scores.shape[-1]
    return -jnp.sum(_shared(targets, jax.nn.log_softmax(scores)), axis=-1)


Normalisation = Literal['share', 'paper', 'neural_style']
"""Of the losses of features: a share of what the target is, or as `content_loss` and `style_loss` say."""


def gram_matrices(maps: jax.Array) -> jax.Array:
    """Products of channels, mean over the places, (batch, channels, channels), of maps (batch, ..., channels)."""
    flat = maps.reshape(maps.shape[0], -1, maps.shape[-1])
    return jnp.einsum('bpi,bpj->bij', flat, flat) / flat.shape[1]


def content_loss(maps: jax.Array, wanted: jax.Array, *, normalisation: Normalisation = 'paper') -> jax.Array:
    """The squared distance of features, (batch,): Gatys, Ecker and Bethge 2015, arXiv:1508.06576.

    maps, wanted: (batch, ...). 'paper' is half of it, 'neural_style' its mean, 'share' a share of the squares of
    `wanted`.
    """
    missed = _summed(jnp.square(maps - wanted))
    if normalisation == 'paper':
        return missed / 2
    return missed / math.prod(wanted.shape[1:]) if normalisation == 'neural_style' else _share(missed, wanted)


def style_loss(grams: jax.Array, wanted: jax.Array, *, normalisation: Normalisation = 'paper') -> jax.Array:
    """The squared distance of Gram matrices, (batch,): Gatys, Ecker and Bethge 2015, arXiv:1508.06576.

    grams, wanted: (batch, N, N) as `gram_matrices` gives them, or (1, N, N) for all images. 'paper' is a quarter of it
    over N^2, which for images of one size is the paper's; 'neural_style' that times 4 / N^2; 'share' a share of the
    squares of `wanted`.
    """
    missed, channels = _summed(jnp.square(grams - wanted)), float(wanted.shape[-1])
    if normalisation == 'paper':
        return missed / (4 * channels**2)
    return missed / channels**4 if normalisation == 'neural_style' else _share(missed, wanted)


def _share(missed: jax.Array, wanted: jax.Array) -> jax.Array:
    return missed / jnp.maximum(_summed(jnp.square(wanted)), jnp.finfo(missed.dtype).tiny)


def _summed(values: jax.Array) -> jax.Array:
    return values.reshape(values.shape[0], -1).sum(-1)


def _shared(shares: jax.Array, values: jax.Array) -> jax.Array:
    """Returns shares * values, and 0 for no share of what is infinite, as the limit is."""
    nothing = (shares == 0) & jnp.isinf(values)
    return shares * jnp.where(nothing, jnp.zeros_like(values), values)


def binary_cross_entropy(
    scores: jax.Array, labels: jax.Array, *, smoothing: float = 0.0, threshold: float | None = None
) -> jax.Array:
    """Each class a question of its own: the mean over the classes of the sigmoid cross-entropy. Returns (batch,).

    For "ResNet strikes back", Wightman et al. 2021, arXiv:2110.00476: shares above `threshold` become 1 and the others
    0, so that all that is mixed into an image is there; then labels are smoothed as in `cross_entropy`. (timm smooths
    first, which the threshold undoes.) The sum over classes, which other code takes, is so many times this.
    scores: (batch, classes) logits; labels: (batch,) int or (batch, classes) shares. A logit of minus infinity costs
    nothing where the target is 0, one of infinity where it is 1, and else they make the loss infinite.
    """
    num_classes = scores.shape[-1]
    targets = soft_targets(labels, num_classes, scores.dtype)
    if threshold is not None:
        targets = (targets > threshold).astype(scores.dtype)
    targets = (1 - smoothing) * targets + smoothing / num_classes
    sure = jnp.isinf(scores)
    finite = jnp.where(sure, jnp.zeros_like(scores), scores)
    costs = jax.nn.softplus(finite) - finite * targets  # its parts, written out, have no gradient at 0
    right = targets == (scores > 0)
    of_sure = jnp.where(right, jnp.zeros_like(costs), jnp.full_like(costs, jnp.inf))
    return jnp.mean(jnp.where(sure, of_sure, costs), axis=-1)


def balancing_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """A weight for each class by which all classes count alike: images / (classes * images of the class).

    The mean weight over the images is 1, so that a learning rate keeps its meaning. counts: each at least 1.
    """
    return tuple(sum(counts) / (len(counts) * count) for count in counts)


def class_weighted(
    loss: Callable[[Any, jax.Array], jax.Array], weights: Sequence[float]
) -> Callable[[Any, jax.Array], jax.Array]:
    """The loss of each image times the weight of its class; of a mixed image, times the mean by its shares.

    weights: (classes,). The loss and what it returns: `(scores, labels or shares) -> (batch,)`.
    """

    def weighted(scores: Any, labels: jax.Array) -> jax.Array:
        own = jnp.asarray(weights, jnp.float32)
        return loss(scores, labels) * (labels @ own if labels.ndim == 2 else own[labels])

    return weighted


def soft_targets(labels: jax.Array, num_classes: int, dtype: Any = jnp.float32) -> jax.Array:
    """Classes (batch,) as shares (batch, num_classes), 1 for the class; shares as they are."""
    if labels.ndim == 2:
        return labels.astype(dtype)
    return jax.nn.one_hot(labels, num_classes, dtype=dtype)
