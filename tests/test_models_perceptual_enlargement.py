"""A net that makes images larger with the loss network that judges it: what is measured, what learns, what is kept."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_models import JUDGED, MODULES, random_variables

from cnn_jax import experiment, weights
from cnn_jax.data.formats.shrunk import HIGH
from cnn_jax.errors import CnnJaxError
from cnn_jax.features import features
from cnn_jax.models.edsr import EDSR
from cnn_jax.models.perceptual_enlargement import PerceptualEnlargement
from cnn_jax.models.vgg import VGG
from cnn_jax.tasks import super_resolution
from cnn_jax.training import restore
from cnn_jax.weights.convert import variable_shapes
from cnn_jax.weights.keras_file import MAGIC
from cnn_jax.weights.native import build_model, describe_model

TASK = super_resolution.task(loss='perceptual')
VARIANTS = [make for family in JUDGED for make in MODULES[family].VARIANTS.values()]
TRUNK = VGG(stage_sizes=(2, 2), maps=True, pool='average', width=1 / 16)
MODEL = PerceptualEnlargement(net=EDSR(scale=2, filters=4, blocks=1), trunk=TRUNK)
RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(0, 1, (2, 8, 6, 3)), jnp.float32)
TRUTHS = RNG.integers(0, 256, (2, 16, 12, 3), np.uint8)


@pytest.fixture(scope='module')
def variables():
    return random_variables(MODEL, IMAGES)


def forward(model, variables, batch):
    return TASK.forward(model.apply, variables, batch, train=True)


def test_counts_are_those_of_the_docstring():
    text = ' '.join((PerceptualEnlargement.__doc__ or '').split())
    whole, trunk = (int(one.replace(',', '')) for one in re.findall(r'([\d,]{7,})', text)[:2])
    params = variable_shapes(VARIANTS[0](), (24, 24, 3))['params']
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
    assert (sum(counts.values()), counts['trunk']) == (whole, trunk)


@pytest.mark.parametrize('make', VARIANTS)
def test_a_variant_comes_back_from_what_a_file_of_weights_keeps(make):
    assert build_model(describe_model(make())) == make()
    assert describe_model(make())['options'] == {}


@pytest.mark.parametrize('blue_first', [True, False])
def test_the_distance_is_of_what_the_loss_network_sees(variables, blue_first):
    model = MODEL.clone(pixel_weight=3.0, blue_first=blue_first, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    outputs = forward(model, variables, {'image': IMAGES, HIGH: jnp.asarray(TRUTHS)})
    enlarged: Any = model.net.apply({'params': variables['params']['net']}, IMAGES, train=False)
    np.testing.assert_allclose(outputs['enlarged'], enlarged, atol=1e-6)

    def seen(images):
        order = [2, 1, 0] if blue_first else [0, 1, 2]
        given = (np.asarray(images)[..., order] - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
        trunk = {'params': variables['params']['trunk']}
        return features(TRUNK, trunk, given.astype(np.float32), layers=['conv2_2'])['conv2_2']

    expected = np.mean((np.asarray(seen(enlarged)) - seen(TRUTHS / 255)) ** 2, (1, 2, 3))
    pixels = (np.asarray(enlarged) - TRUTHS / 255) / ([0.7, 0.6, 0.5] if blue_first else [0.5, 0.6, 0.7])
    expected += 3 * np.mean(pixels**2, (1, 2, 3))
    np.testing.assert_allclose(TASK.loss(outputs, {}), expected, rtol=1e-4)
    assert (expected > 0).all()


def test_the_truth_itself_has_no_distance_and_no_gradient_reaches_it(variables):
    truths = jnp.asarray(TRUTHS)
    large = truths.astype(jnp.float32) / 255

    class Truth(EDSR):
        def __call__(self, images, *, train):
            return large

    model = MODEL.clone(net=Truth(scale=2))
    np.testing.assert_array_equal(forward(model, variables, {'image': IMAGES, HIGH: truths})['distance'], 0)

    def distance(truths):
        outputs: Any = MODEL.apply(variables, IMAGES, truths, train=True)
        return outputs['distance'].sum()

    np.testing.assert_array_equal(jax.grad(distance)(large), 0)


def test_bicubic_is_judged_beside_it_in_evaluation(variables):
    model = MODEL.clone(net=EDSR(scale=2, filters=4, blocks=1, residual=True))
    still = model.init(jax.random.key(0), IMAGES, train=False)
    given = {'params': {**still['params'], 'trunk': variables['params']['trunk']}}
    batch = {'image': jnp.asarray(RNG.uniform(0, 1, (2, 8, 8, 3)), jnp.float32)}
    batch[HIGH] = jnp.asarray(RNG.integers(0, 256, (2, 16, 16, 3), np.uint8))
    outputs = TASK.forward(model.apply, given, batch, train=False)
    assert (outputs['distance'] > 0).all()
    np.testing.assert_array_equal(outputs['distance'], outputs['bicubic_distance'])
    assert 'bicubic_distance' not in TASK.forward(model.apply, given, batch, train=True)
    found = TASK.results(outputs, batch)
    np.testing.assert_array_equal(found['bicubic_loss'], TASK.loss(outputs, batch))


def test_without_a_truth_it_is_the_net_alone(variables):
    alone = TASK.forward(MODEL.apply, {'params': variables['params']}, {'image': IMAGES}, train=False)
    net: Any = MODEL.net.apply({'params': variables['params']['net']}, IMAGES, train=False)
    np.testing.assert_array_equal(alone, net)
    without = variable_shapes(MODEL, (8, 6, 3))
    batch = {'image': IMAGES, HIGH: jnp.asarray(TRUTHS)}
    given = jax.eval_shape(lambda: TASK.forward(MODEL.init, jax.random.key(0), batch, train=False))
    assert jax.tree.structure(without) == jax.tree.structure(given)


def test_what_does_not_fit_is_named(variables, tmp_path):
    with pytest.raises(ValueError, match=r"layer: 'conv3_3' given; the trunk, VGG, has none of that name"):
        forward(MODEL.clone(layer='conv3_3'), variables, {'image': IMAGES, HIGH: jnp.asarray(TRUTHS)})
    with pytest.raises(CnnJaxError, match='the model has no loss network'):
        TASK.loss(jnp.zeros((1, 4, 4, 3)), {})
    (tmp_path / 'vgg.h5').write_bytes(MAGIC)
    with pytest.raises(CnnJaxError, match='takes those of Caffe'):
        experiment.load('photographs_perceptual', {'pixels': 'torchvision', 'vgg': str(tmp_path / 'vgg.h5')})


def test_training_moves_the_net_and_leaves_the_loss_network():
    made = experiment.load('photographs_perceptual', {'smoke': True}).experiment
    shapes = jax.eval_shape(lambda: made.init_state(0)).params

    @jax.jit
    def moves():
        params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), shapes)
        updates: Any = made.optimizer.update(params, made.optimizer.init(params), params)[0]
        return {name: optax.tree.norm(part) for name, part in updates.items()}

    moved = moves()
    assert moved['trunk'] == 0
    assert moved['net'] > 0


def test_the_loss_network_is_that_of_a_file_of_a_classifier(tmp_path):
    made = experiment.load('photographs_perceptual', {'smoke': True}).experiment
    classifier = VGG(num_classes=3, stage_sizes=(2, 2, 1), width=1 / 16, hidden_units=16)
    theirs = random_variables(classifier, jnp.zeros((1, 32, 32, 3)))
    weights.save(tmp_path / 'vgg.safetensors', classifier, theirs, image_shape=(32, 32, 3))
    said = []
    like = jax.device_get(made.init_state(0).variables)
    found = restore.weights_from(tmp_path / 'vgg.safetensors', made, like, report=said.append)
    for name in ('conv1_1', 'conv1_2', 'conv2_1', 'conv2_2'):
        for leaf in ('kernel', 'bias'):
            np.testing.assert_array_equal(found['params']['trunk'][name][leaf], theirs['params'][name][leaf])
    jax.tree.map(np.testing.assert_array_equal, found['params']['net'], like['params']['net'])
    assert any('the trunk is that of' in line and 'net anew' in line for line in said)
