"""The losses against the formulas of the paper, written out."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false
# (Flax types the result of apply as Any or a pair, and numpy arrays stand in for JAX arrays.)

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import losses


def distances_and_labels():
    rng = np.random.default_rng(0)
    return rng.uniform(0.0, 5.0, (6, 10)).astype(np.float32), rng.integers(0, 10, 6).astype(np.int32)


def test_mle_loss_is_the_distance_to_the_correct_class():
    distances, labels = distances_and_labels()
    expected = [row[label] for row, label in zip(distances, labels, strict=True)]
    np.testing.assert_array_equal(losses.lenet_mle_loss(-distances, labels), expected)


@pytest.mark.parametrize('j', [0.1, 2.0])
def test_map_loss_is_equation_9(j):
    distances, labels = distances_and_labels()
    expected = [y[label] + np.log(np.exp(-j) + np.exp(-y).sum()) for y, label in zip(distances, labels, strict=True)]
    np.testing.assert_allclose(losses.lenet_map_loss(-distances, labels, j=j), expected, rtol=1e-6)


def test_map_loss_is_finite_far_from_every_bitmap():
    scores = jnp.full((1, 10), -1e5)  # exp(-1e5) is 0 in float32
    value, gradient = jax.value_and_grad(lambda s: losses.lenet_map_loss(s, jnp.zeros(1, jnp.int32)).sum())(scores)
    assert value == pytest.approx(1e5 - 0.1)
    np.testing.assert_array_equal(gradient[0], [-1.0] + [0.0] * 9)


def test_j_stops_pushing_classes_that_are_far_already():
    scores = -jnp.array([[0.1, 20.0]])
    gradient = jax.grad(lambda s: losses.lenet_map_loss(s, jnp.zeros(1, jnp.int32)).sum())(scores)
    assert 0 < gradient[0, 1] < 1e-8  # without j it would be about exp(-19.9) of the whole; with it, less
    assert gradient[0, 0] < 0


def test_auxiliary_heads_count_with_their_weight():
    def loss(scores, labels):
        return scores[:, 0] + labels

    total = losses.with_auxiliary_heads(loss, weight=0.5)
    main, first, second = (jnp.full((2, 3), value) for value in (1.0, 10.0, 100.0))
    labels = jnp.zeros(2, jnp.int32)
    np.testing.assert_allclose(total((main, first, second), labels), [56.0, 56.0])
    np.testing.assert_allclose(total(main, labels), [1.0, 1.0])


def scores_and_targets():
    rng = np.random.default_rng(1)
    targets = rng.dirichlet(np.ones(5), 4).astype(np.float32)
    return rng.normal(size=(4, 5)).astype(np.float32), targets


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_cross_entropy_of_soft_targets_and_of_classes(smoothing):
    scores, targets = scores_and_targets()
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    expected = -((1 - smoothing) * targets + smoothing / 5) * logs
    np.testing.assert_allclose(losses.cross_entropy(scores, targets, smoothing=smoothing), expected.sum(1), rtol=1e-5)
    labels = jnp.array([0, 3, 4, 1])
    one_hot = np.eye(5, dtype=np.float32)[labels]
    np.testing.assert_allclose(
        losses.cross_entropy(scores, labels, smoothing=smoothing),
        losses.cross_entropy(scores, one_hot, smoothing=smoothing),
        rtol=1e-6,
    )
    if not smoothing:
        reference = optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(scores), labels)
        np.testing.assert_allclose(losses.cross_entropy(scores, labels), reference, rtol=1e-5)


def test_binary_cross_entropy():
    scores, targets = scores_and_targets()
    likely = 1 / (1 + np.exp(-scores))
    expected = -(targets * np.log(likely) + (1 - targets) * np.log(1 - likely)).mean(1)
    np.testing.assert_allclose(losses.binary_cross_entropy(scores, targets), expected, rtol=1e-5)
    binary = (targets > 0.2).astype(float)
    expected = -(binary * np.log(likely) + (1 - binary) * np.log(1 - likely)).mean(1)
    np.testing.assert_allclose(losses.binary_cross_entropy(scores, targets, threshold=0.2), expected, rtol=1e-5)
    expected = -((0.9 * binary + 0.02) * np.log(likely) + (0.98 - 0.9 * binary) * np.log(1 - likely)).mean(1)
    both = losses.binary_cross_entropy(scores, targets, threshold=0.2, smoothing=0.1)
    np.testing.assert_allclose(both, expected, rtol=1e-5)
    smooth = losses.binary_cross_entropy(scores, jnp.array([0, 1, 2, 3]), smoothing=0.1)
    one_hot = 0.9 * np.eye(5)[:4] + 0.02
    expected = -(one_hot * np.log(likely) + (1 - one_hot) * np.log(1 - likely)).mean(1)
    np.testing.assert_allclose(smooth, expected, rtol=1e-5)


def test_binary_cross_entropy_of_large_scores_is_finite():
    scores = jnp.array([[1e4, -1e4]])
    value, gradient = jax.value_and_grad(lambda s: losses.binary_cross_entropy(s, jnp.array([1])).sum())(scores)
    assert value == pytest.approx(1e4)
    np.testing.assert_allclose(gradient, [[0.5, -0.5]])


def test_a_class_without_a_share_counts_nothing_though_its_logit_is_minus_infinity():
    scores, labels = jnp.array([[0.5, -jnp.inf, 1.5]]), jnp.array([0])
    reference = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    for targets in (labels, jnp.array([[1.0, 0.0, 0.0]])):
        value, slope = jax.value_and_grad(lambda s, t=targets: losses.cross_entropy(s, t).sum())(scores)
        assert value == pytest.approx(float(reference[0]))
        np.testing.assert_allclose(slope[0, 1:], [0, np.exp(1) / (1 + np.exp(1))], rtol=1e-6)
    assert losses.cross_entropy(scores, jnp.array([1])) == jnp.inf
    assert losses.cross_entropy(scores, labels, smoothing=0.1) == jnp.inf


def test_the_gradient_of_sigmoids_where_all_logits_are_0():
    """As a layer that starts at zeros makes them; a maximum and a magnitude, written out, gave 0 and -1."""
    slope = jax.grad(lambda s: losses.binary_cross_entropy(s, jnp.array([1])).sum())(jnp.zeros((1, 2)))
    np.testing.assert_allclose(slope, [[0.25, -0.25]])  # (sigmoid(0) - target) / classes


def test_sigmoids_of_infinite_logits_are_limits():
    scores = jnp.array([[-jnp.inf, jnp.inf, 0.0]])
    value, slope = jax.value_and_grad(lambda s: losses.binary_cross_entropy(s, jnp.array([1])).sum())(scores)
    assert value == pytest.approx(np.log(2) / 3)
    np.testing.assert_allclose(slope, [[0, 0, 0.5 / 3]], rtol=1e-6)
    for wrong in ([[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]], [[0.5, 1.0, 0.0]]):
        assert losses.binary_cross_entropy(scores, jnp.array(wrong)) == jnp.inf


def test_weights_that_balance_have_a_mean_of_one_over_the_images():
    counts = (60, 40, 7, 1)
    weights = losses.balancing_weights(counts)
    assert np.dot(weights, counts) / sum(counts) == pytest.approx(1.0)
    np.testing.assert_allclose(np.multiply(weights, counts), sum(counts) / len(counts))
    assert losses.balancing_weights((5, 5)) == (1.0, 1.0)


def test_a_weighted_loss_is_the_loss_times_the_weight_of_the_class():
    scores, labels = distances_and_labels()
    plain = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    weights = tuple(range(1, 11))
    weighted = losses.class_weighted(optax.softmax_cross_entropy_with_integer_labels, weights)
    np.testing.assert_allclose(weighted(scores, labels), plain * (labels + 1), rtol=1e-6)
    shares = np.eye(10, dtype=np.float32)[labels] / 2 + np.eye(10, dtype=np.float32)[(labels + 1) % 10] / 2
    mixed = losses.class_weighted(losses.cross_entropy, weights)(scores, shares)
    expected = losses.cross_entropy(scores, shares) * (labels + 1 + (labels + 1) % 10 + 1) / 2
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
