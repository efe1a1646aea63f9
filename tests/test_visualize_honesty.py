"""The checks beside a map: shuffled weights, rank correlation, insertion and deletion."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import meeting, scores
from cnn_jax.visualize import honesty
from cnn_jax.visualize.engine import shuffling


class Bright(nn.Module):
    """The mean of the left half against that of the right half, times a weight."""

    @nn.compact
    def __call__(self, images):
        half = images.shape[2] // 2
        sides = jnp.stack([images[:, :, :half].mean((1, 2, 3)), images[:, :, half:].mean((1, 2, 3))], -1)
        return nn.Dense(2, use_bias=False, kernel_init=lambda *_: 20 * jnp.eye(2), name='output')(sides)


class Net(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        x = nn.relu(nn.Conv(4, (3, 3), name='conv1')(images))
        x = nn.relu(nn.Dense(8, name='fc2')(x.reshape(len(x), -1)))
        return nn.Dense(3, name='fc3')(x)


def test_rank_correlation():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 5))
    assert honesty.rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert honesty.rank_correlation(values, -values) == pytest.approx(-1)
    assert np.isnan(honesty.rank_correlation(values, np.ones((4, 5))))  # nobody knows
    from scipy.stats import spearmanr

    other = rng.integers(0, 3, (4, 5))  # with ties
    expected, _ = spearmanr(values.ravel(), other.ravel())
    assert honesty.rank_correlation(values, other) == pytest.approx(expected)


def test_shuffling_keeps_the_values_and_the_given_variables():
    model, images = Net(), jnp.ones((1, 6, 6, 1))
    variables = model.init(jax.random.key(0), images, train=False)
    before = jax.tree.map(np.array, variables)
    changed = shuffling.shuffled(variables, ['fc3'], 0)
    jax.tree.map(np.testing.assert_array_equal, before, variables)
    old, new = (np.asarray(tree['params']['fc3']['kernel']) for tree in (variables, changed))
    assert (old != new).any()
    np.testing.assert_array_equal(np.sort(old, None), np.sort(new, None))
    np.testing.assert_array_equal(changed['params']['conv1']['kernel'], variables['params']['conv1']['kernel'])
    net = scores.net_of(model, variables, images)
    assert meeting.owners_in_order(net, variables) == ['conv1', 'fc2', 'fc3']


def test_pixels_that_nothing_looks_at_are_no_agreement():
    """Two maps of noise in the middle of a large empty image."""
    rng = np.random.default_rng(0)
    cascade = np.zeros((2, 3, 40, 40, 1))
    cascade[:, :, 15:25, 15:25] = rng.normal(size=(2, 3, 10, 10, 1))
    assert np.abs(honesty._correlations(cascade)[1]).max() < 0.35
    assert np.isnan(honesty._correlations(np.zeros((2, 3, 4, 4, 1)))).all()


def test_ranks_are_those_of_what_the_picture_shows(monkeypatch):
    """Channels that cancel are nothing in the picture, so they come last, however large they are."""
    images, model = jnp.ones((1, 4, 8, 3)), Bright()
    cancelling = np.zeros((1, 4, 8, 3), np.float32)
    cancelling[:, :, :4] = [9, -9, 0]
    cancelling[:, :, 4:] = [1, 1, 0]
    variables = model.init(jax.random.key(0), images)
    monkeypatch.setattr(honesty, '_attribution', lambda method: lambda *given, layer: cancelling)
    arrays = honesty.visualize(model, variables, images=images[..., :1].repeat(3, -1), targets=[1], num_steps=2)
    assert arrays['insertion'][1, 0] > 0.99  # the right half, of class 1, has come first


def test_insertion_and_deletion_of_the_side_that_counts():
    images, model = jnp.ones((1, 4, 8, 1)), Bright()
    variables = model.init(jax.random.key(0), images)
    left = np.zeros((1, 4, 8))
    left[:, :, :4] = 1
    targets = jnp.zeros(1, jnp.int32)
    first = honesty.curve(model, variables, images, targets, left, num_steps=4, insert=True)[:, 0]
    last = honesty.curve(model, variables, images, targets, left, num_steps=4, insert=False)[:, 0]
    wins = 1 / (1 + np.exp(-20.0))
    np.testing.assert_allclose(first[[0, 2, 4]], [0.5, wins, 0.5], atol=1e-6)
    np.testing.assert_allclose(last[[0, 2, 4]], [0.5, 1 - wins, 0.5], atol=1e-6)


def test_the_cascade():
    model, images = Net(), jax.random.normal(jax.random.key(0), (2, 6, 6, 1))
    variables = model.init(jax.random.key(1), images, train=False)
    arrays = honesty.visualize(model, variables, images=images, method='gradient', num_steps=5)
    assert list(arrays['layers']) == ['trained', 'fc3', 'fc2', 'conv1']
    assert arrays['maps'].shape == (4, 1, 6, 6, 1)  # of the first image
    np.testing.assert_allclose(arrays['correlation'][0], 1)
    assert (np.abs(arrays['correlation'][1:]) < 0.99).all()
    assert arrays['insertion'].shape == (6, 2)
    np.testing.assert_allclose(arrays['insertion'][-1], arrays['deletion'][0], rtol=1e-5)
    honesty.draw(arrays)
    with pytest.raises(CnnJaxError, match='not an attribution method'):
        honesty.visualize(model, variables, images=images, method='filters')


def test_the_check_of_a_unit_of_a_layer():
    """Only layers that the unit needs are shuffled, and its activation takes the place of the probability."""
    model, images = Net(), jax.random.normal(jax.random.key(0), (1, 6, 6, 1))
    variables = model.init(jax.random.key(1), images, train=False)
    arrays = honesty.visualize(model, variables, images=images, method='gradient', layer='fc2', num_steps=3)
    assert list(arrays['layers']) == ['trained', 'fc2', 'conv1']
    assert str(arrays['scored']) == 'fc2'
    np.testing.assert_allclose([arrays['insertion'][-1], arrays['deletion'][0]], 1)
    honesty.draw(arrays)
    assert honesty.levels(10, 4) == [0, 1, 6, 10]
    assert honesty.levels(2, 8) == [0, 1, 2]
