"""Pooling and dropout layers: the op with the layer's arguments."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false
# (Flax types the result of apply as Any or a pair, and numpy arrays stand in for JAX arrays.)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.layers import AdaptiveAvgPool, AvgPool, Dropout, MaxPool


@pytest.mark.parametrize(('layer', 'op'), [(MaxPool, ops.max_pool), (AvgPool, ops.avg_pool)], ids=['max', 'average'])
@pytest.mark.parametrize(
    'options', [{'window': 2}, {'window': (3, 2), 'stride': (2, 1), 'padding': 1}], ids=['2', '3x2']
)
def test_pool_is_the_op_then_the_activation(layer, op, options):
    images = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    np.testing.assert_array_equal(layer(**options).apply({}, images), op(images, **options))
    np.testing.assert_array_equal(
        layer(**options, activation=jnp.tanh).apply({}, images), jnp.tanh(op(images, **options))
    )


def test_dropout_keeps_the_mean_in_training_and_the_values_in_evaluation():
    ones = jnp.ones((100, 100))
    layer = Dropout(0.25)
    np.testing.assert_array_equal(layer.apply({}, ones, train=False), ones)
    dropped = layer.apply({}, ones, train=True, rngs={'dropout': jax.random.key(0)})
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / 0.75])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)  # four standard deviations of the mean of 10,000
    again = layer.apply({}, ones, train=True, rngs={'dropout': jax.random.key(0)})
    np.testing.assert_array_equal(dropped, again)


def test_dropout_refuses_a_rate_of_one():
    with pytest.raises(ValueError, match=r'rate=1.0 given; it is at least 0 and below 1'):
        Dropout(1.0).apply({}, jnp.ones(3), train=True)


@pytest.mark.parametrize('size', [1, 5, 6, 13])
def test_adaptive_pool_gives_one_size_from_any(size):
    images = jax.random.normal(jax.random.key(0), (2, size, 6, 3))
    outputs = AdaptiveAvgPool(6).apply({}, images)
    expected = np.empty((2, 6, 6, 3))
    for i in range(6):
        rows = slice(i * size // 6, -(-(i + 1) * size // 6))
        expected[:, i] = np.asarray(images)[:, rows].mean(1)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_ceil_mode_lets_the_last_window_hang_over():
    images = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
    outputs = MaxPool(3, stride=2, ceil_mode=True).apply({}, images)
    assert outputs.shape == (1, 4, 4, 1)
    assert outputs[0, 3, 3, 0] == images[0, 6:, 6:, 0].max()
