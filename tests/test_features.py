"""Layers read by name: equal to what Flax itself captures, after the activation."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from cnn_jax.errors import CnnJaxError
from cnn_jax.features import features
from cnn_jax.models.vgg import VGG

MODEL = VGG(stage_sizes=(1, 2), filters=(8, 16), hidden_units=8, num_classes=3)
IMAGES = np.random.default_rng(0).standard_normal((5, 8, 8, 3)).astype(np.float32)
LAYERS = ['conv2_1', 'pool2', 'fc7', 'fc8']


@pytest.fixture(scope='module')
def variables():
    shapes = jax.eval_shape(lambda: MODEL.init(jax.random.key(0), IMAGES, train=False))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32) / 4, shapes)


@pytest.fixture(scope='module')
def read(variables):
    return features(MODEL, variables, IMAGES, layers=LAYERS)


def test_they_are_what_flax_captures(variables, read):
    @jax.jit
    def captured(variables, images):
        with jax.default_matmul_precision('highest'):
            return MODEL.apply(variables, images, train=False, capture_intermediates=True)

    scores, state = captured(variables, IMAGES)
    assert list(read) == LAYERS
    for name in LAYERS:
        np.testing.assert_allclose(read[name], state['intermediates'][name]['__call__'][0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(read['fc8'], scores, rtol=1e-5, atol=1e-5)
    assert read['conv2_1'].shape == (5, 4, 4, 16)
    assert float(read['conv2_1'].min()) == 0, 'after the ReLU'


def test_other_weights_cost_no_compilation(variables, read):
    doubled = jax.tree.map(lambda leaf: 2 * leaf, variables)
    with jax.no_tracing():
        again = features(MODEL, doubled, IMAGES, layers=LAYERS)
    assert not np.allclose(again['fc8'], read['fc8'])


def test_a_batch_at_a_time_changes_nothing(variables, read):
    parts = features(MODEL, variables, IMAGES, layers=LAYERS, batch_size=3)
    for name in LAYERS:
        np.testing.assert_allclose(parts[name], read[name], rtol=1e-5, atol=1e-5)


def test_what_is_above_the_layers_is_not_run(variables):
    class Refusing(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            hidden = nn.Dense(4, name='below')(images.reshape(len(images), -1))
            return jax.pure_callback(self.refuse, hidden, hidden)

        def refuse(self, array):
            raise AssertionError('the scores were computed')

    model = Refusing()
    own = {'params': {'below': {'kernel': np.ones((192, 4), np.float32), 'bias': np.zeros(4, np.float32)}}}
    sums = IMAGES.reshape(5, -1).sum(1)[:, None]
    np.testing.assert_allclose(features(model, own, IMAGES, layers=['below'])['below'], sums.repeat(4, 1), rtol=1e-4)


@pytest.mark.parametrize(
    ('layers', 'images', 'words'),
    [
        (['conv2_3'], IMAGES, "unknown layer: 'conv2_3'; choose from: conv2_"),
        ([], IMAGES, 'layers: .* given; give a list of names'),
        ('fc7', IMAGES, r"layers: 'fc7' given; give a list of names, such as \['fc7'\]"),
        (['fc7'], IMAGES[0], 'images: float32 .* given'),
        (['fc7'], (IMAGES * 10).astype(np.uint8), 'give preprocessed images'),
    ],
)
def test_mistakes_say_what_to_do(variables, layers, images, words):
    with pytest.raises(CnnJaxError, match=words):
        features(MODEL, variables, images, layers=layers)
