"""Exact t-SNE, compiled: every pair of points counts. Van der Maaten and Hinton 2008, JMLR 9, pages 2579 to 2605.

The schedule is scikit-learn's: 250 steps with exaggeration 12 and momentum 0.5, then momentum 0.8 to step 1000; gains;
learning rate points / 48, at least 50. Differs from its engine for many points (Barnes-Hut) in that nothing is
approximated, which is quicker as long as the points are few.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

EXAGGERATION, EARLY_STEPS, STEPS = 12.0, 250, 1000
_ROUNDS = 50  # of bisection: a factor of 2 ** 50 on either side
_TOGETHER = 50  # steps in one compiled call


class Laid(NamedTuple):
    """Points in the plane, (points, 2), and how far their neighbourhoods are from the true ones."""

    points: np.ndarray
    kl_divergence: float


class _State(NamedTuple):
    points: jax.Array
    velocity: jax.Array
    gains: jax.Array


def lay_out(values: np.ndarray, start: np.ndarray, *, perplexity: float = 30.0) -> Laid:
    """The t-SNE of points (points, features) from a start in the plane, (points, 2), which is scaled down.

    perplexity: about how many neighbours count; less than the number of points.
    """
    count = len(values)
    near = joint_probabilities(jnp.asarray(values, jnp.float32), perplexity)
    begin = jnp.asarray(start / max(float(np.std(start[:, 0])), 1e-12) * 1e-4, jnp.float32)
    rate = max(count / EXAGGERATION / 4, 50.0)
    for steps, exaggeration, momentum in ((EARLY_STEPS, EXAGGERATION, 0.5), (STEPS - EARLY_STEPS, 1.0, 0.8)):
        state = _State(begin, jnp.zeros_like(begin), jnp.ones_like(begin))
        for _ in range(steps // _TOGETHER):
            state = _descend(state, near, exaggeration, momentum, rate)
        begin = state.points
    return Laid(np.asarray(begin), float(_divergence(begin, near)))


@functools.partial(jax.jit, static_argnames='rounds')
def joint_probabilities(values: jax.Array, perplexity: float, *, rounds: int = _ROUNDS) -> jax.Array:
    """How near each pair is, (points, points): Gaussians whose widths give every point that perplexity; sums to 1."""
    with jax.default_matmul_precision('highest'):
        squares = jnp.sum(jnp.square(values), 1)
        distances = jnp.maximum(squares[:, None] + squares[None] - 2 * values @ values.T, 0)
    count = len(values)
    itself = jnp.eye(count, dtype=bool)
    scale = jnp.sum(distances) / (count * (count - 1))
    distances = jnp.where(itself, jnp.inf, distances / jnp.where(scale > 0, scale, 1))
    distances = distances - jnp.min(distances, 1, keepdims=True)  # the nearest at 0, so that no row sums to 0
    wanted = jnp.log(perplexity)

    def weights(log_precision: jax.Array) -> jax.Array:
        return jnp.where(itself, 0, jnp.exp(-distances * jnp.exp(log_precision)[:, None]))

    def bisect(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        near = weights(middle)
        total = jnp.sum(near, 1)
        moment = jnp.sum(jnp.where(itself, 0, distances) * near, 1) * jnp.exp(middle)
        too_many = jnp.log(total) + moment / total > wanted  # the entropy of the row
        return jnp.where(too_many, middle, low), jnp.where(too_many, high, middle)

    reach = jnp.full(count, 35.0)  # e ** 35 on either side of the mean distance
    low, high = jax.lax.fori_loop(0, rounds, bisect, (-reach, reach))
    near = weights((low + high) / 2)
    near = near / jnp.sum(near, 1, keepdims=True)
    return (near + near.T) / (2 * count)


@jax.jit
def _descend(state: _State, near: jax.Array, exaggeration: jax.Array, momentum: jax.Array, rate: jax.Array) -> _State:
    def step(_: int, state: _State) -> _State:
        slope = _gradient(state.points, near, exaggeration)
        gains = jnp.where(state.velocity * slope < 0, state.gains + 0.2, state.gains * 0.8)
        gains = jnp.maximum(gains, 0.01)
        velocity = momentum * state.velocity - rate * gains * slope
        return _State(state.points + velocity, velocity, gains)

    return jax.lax.fori_loop(0, _TOGETHER, step, state)


def _gradient(points: jax.Array, near: jax.Array, exaggeration: jax.Array) -> jax.Array:
    """Four times the sum over j of (p - q) (y_i - y_j) / (1 + distance)."""
    close = _closeness(points)
    total = jnp.sum(close) - len(points)
    pull = (exaggeration * near - close / total) * close  # (points, points)
    with jax.default_matmul_precision('highest'):
        sums = pull @ jnp.concatenate([points, jnp.ones_like(points[:, :1])], 1)  # (points, 3)
    return 4 * (sums[:, 2:] * points - sums[:, :2])


def _closeness(points: jax.Array) -> jax.Array:
    """1 / (1 + squared distance), (points, points); 1 for a point and itself."""
    first, second = (points[:, None, axis] - points[None, :, axis] for axis in (0, 1))
    return 1 / (1 + first * first + second * second)


@jax.jit
def _divergence(points: jax.Array, near: jax.Array) -> jax.Array:
    close = _closeness(points)
    far = close / (jnp.sum(close) - len(points))
    there = near > 0
    return jnp.sum(jnp.where(there, near * jnp.log(jnp.where(there, near, 1) / far), 0))
