"""Our exact t-SNE: its probabilities and gradient against their definitions, its picture against scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from cnn_jax.visualize.engine import tsne

VALUES = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32) * 3


@pytest.fixture(scope='module')
def near():
    return np.asarray(tsne.joint_probabilities(jnp.asarray(VALUES), 7.0), np.float64)


def test_every_point_has_the_perplexity_that_was_asked_for(near):
    """The conditional probabilities, found again by bisection in float64."""
    distances = np.square(VALUES[:, None] - VALUES).sum(-1).astype(np.float64)
    rows = np.zeros_like(distances)
    for point, row in enumerate(distances):
        others = np.delete(row, point)
        low, high = 1e-6, 1e6
        for _ in range(100):
            middle = np.sqrt(low * high)
            weights = np.exp(-(others - others.min()) * middle)
            weights /= weights.sum()
            entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum()
            low, high = (middle, high) if entropy > np.log(7) else (low, middle)
        rows[point] = np.insert(weights, point, 0)
    np.testing.assert_allclose(near, (rows + rows.T) / (2 * len(rows)), rtol=2e-3, atol=1e-7)
    assert near.sum() == pytest.approx(1, rel=1e-5)


def test_the_step_follows_the_gradient_of_the_divergence(near):
    def divergence(points):
        itself = jnp.eye(len(points), dtype=bool)
        close = jnp.where(itself, 0, 1 / (1 + jnp.square(points[:, None] - points[None]).sum(-1)))
        ratio = jnp.where(itself, 1, near * close.sum() / jnp.where(itself, 1, close))
        return jnp.sum(near * jnp.log(ratio))

    points = jnp.asarray(np.random.default_rng(1).normal(size=(40, 2)), jnp.float32)
    found = tsne._gradient(points, jnp.asarray(near, jnp.float32), jnp.float32(1))
    np.testing.assert_allclose(found, jax.grad(divergence)(points), rtol=1e-3, atol=1e-6)
    assert float(tsne._divergence(points, jnp.asarray(near, jnp.float32))) == pytest.approx(
        float(divergence(points)), rel=1e-4
    )


def test_as_trustworthy_as_scikit_learn_on_digits():
    values = np.asarray(load_digits(return_X_y=True)[0])[:200].astype(np.float32)
    plane = PCA(2, random_state=0).fit_transform(values)
    ours = tsne.lay_out(values, plane, perplexity=20)
    theirs = TSNE(perplexity=20, init='pca', random_state=0, method='exact').fit(values)
    scores = [trustworthiness(values, points, n_neighbors=10) for points in (ours.points, theirs.embedding_)]
    assert scores[0] > scores[1] - 0.01
    assert ours.kl_divergence < theirs.kl_divergence_ + 0.05


def test_equal_points_and_far_ones_are_finite():
    values = np.concatenate([np.zeros((6, 3)), np.full((6, 3), 1e4), np.full((1, 3), 1e8)]).astype(np.float32)
    laid = tsne.lay_out(values, values[:, :2], perplexity=4)
    assert np.isfinite(laid.points).all()
    assert np.isfinite(laid.kl_divergence)
