"""Folded models against the models they come from, with variables that make every term count."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false
# (Flax types the result of apply as Any or a pair.)

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.layers import ConvNorm
from cnn_jax.layers.fold import Folded, fold_batch_norm, fold_once
from cnn_jax.models import googlenet, lenet, resnet, vgg
from cnn_jax.models.fcn import FCN


class Net(nn.Module):
    """Two stages that differ in every option, the second used twice."""

    @nn.compact
    def __call__(self, images, *, train):
        x = ConvNorm(6, 3, padding=1, activation=nn.relu, epsilon=1e-3, name='first')(images, train=train)
        again = ConvNorm(6, 3, padding=1, groups=2, use_bias=True, name='second')
        return again(again(x, train=train), train=train)


def make(model, shape=(2, 8, 8, 3), seed=0):
    """Images, and variables drawn so that nothing is at its initial value: variances 0.5 to 2, the rest normal."""
    images = jax.random.normal(jax.random.key(seed), shape)
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name == 'var':
            return jnp.asarray(rng.uniform(0.5, 2, leaf.shape), jnp.float32)
        deviation = np.prod(leaf.shape[:-1]) ** -0.5 if name == 'kernel' else 0.3
        return jnp.asarray(rng.normal(name == 'scale', deviation, leaf.shape), jnp.float32)

    return images, jax.tree.map_with_path(draw, like)


def compare(model, images, variables):
    """The largest difference of the outputs over the largest output."""
    folded, fewer = fold_batch_norm(model, variables, images)
    expected = jax.jit(lambda variables: model.apply(variables, images, train=False))(variables)
    outputs = jax.jit(lambda variables: folded.apply(variables, images))(fewer)
    return float(jnp.max(jnp.abs(outputs - expected)) / jnp.max(jnp.abs(expected)))


def test_a_stage_with_every_option():
    images, variables = make(Net())
    assert compare(Net(), images, variables) < 1e-5


@pytest.mark.parametrize(
    'model',
    [
        resnet.ResNet(depth=18, stage_sizes=(1, 1, 1), num_classes=5, width=0.125),
        resnet.ResNet(stage_sizes=(1, 1), num_classes=5, width=0.125, shortcut='C'),
        resnet.ResNet(stage_sizes=(1, 1), num_classes=5, width=0.125, preactivation=True),
        vgg.VARIANTS['A-BN'](num_classes=5, width=0.0625),
        FCN(resnet.ResNet(depth=8, layout='cifar', width=0.25, maps=True), num_classes=5, hidden=4),
    ],
    ids=['basic', 'bottleneck', 'preactivation', 'vgg', 'trunk'],
)
def test_models_compute_the_same(model):
    images, variables = make(model, (2, 32, 32, 3))
    assert compare(model, images, variables) < 1e-5


def test_every_norm_of_googlenet_is_folded():
    model = googlenet.VARIANTS['batch_norm'](num_classes=5, aux_heads=False)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    fewer = jax.eval_shape(lambda variables: fold_batch_norm(model, variables, images)[1], variables)
    assert 'batch_stats' not in fewer


def test_nothing_is_normalised_and_nothing_is_left_over():
    images, variables = make(Net())
    folded, fewer = fold_batch_norm(Net(), variables, images)
    assert set(fewer) == {'params'}
    assert set(fewer['params']['first']['norm']) == {'bias'}
    assert 'rsqrt' not in str(jax.make_jaxpr(folded.apply)(fewer, images))


def test_the_arguments_stay_as_they_are():
    images, variables = make(Net())
    before = jax.tree.map(np.array, variables)
    fold_batch_norm(Net(), variables, images)
    assert jax.tree.structure(before) == jax.tree.structure(variables)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, variables)))


def test_it_is_pure_and_works_within_jit():
    images, variables = make(Net())

    @jax.jit
    def outputs(variables, images):
        folded, fewer = fold_batch_norm(Net(), variables, images)
        return folded.apply(fewer, images)

    expected = Net().apply(variables, images, train=False)
    np.testing.assert_allclose(outputs(variables, images), expected, rtol=1e-5, atol=1e-5)


def test_layers_keep_their_names():
    images, variables = make(Net())
    folded, fewer = fold_batch_norm(Net(), variables, images)
    expected = Net().apply(variables, images, train=False, capture_intermediates=True)[1]['intermediates']
    found = folded.apply(fewer, images, capture_intermediates=True)[1]['intermediates']
    np.testing.assert_allclose(found['first']['__call__'][0], expected['first']['__call__'][0], rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_bfloat16():
    images, variables = make(Net())
    folded, fewer = fold_batch_norm(Net(), variables, images)
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (fewer, images))
    assert folded.apply(*narrow).dtype == jnp.bfloat16


def test_remat_makes_no_difference():
    model = resnet.ResNet(depth=18, stage_sizes=(1, 1), num_classes=5, width=0.125, remat=True)
    images, variables = make(model, (2, 32, 32, 3))
    assert compare(model, images, variables) < 1e-5


def test_training_is_refused():
    images, variables = make(Net())
    folded, fewer = fold_batch_norm(Net(), variables, images)
    with pytest.raises(ValueError, match='train=True given'):
        folded.apply(fewer, images, train=True)


def test_folded_once_is_the_same_and_what_has_no_norms_stays():
    images, variables = make(Net())
    (model, fewer), (once, fewer_at_once) = (f(Net(), variables, images) for f in (fold_batch_norm, fold_once))
    assert isinstance(once, Folded)
    np.testing.assert_allclose(once.apply(fewer_at_once, images), model.apply(fewer, images), rtol=1e-6, atol=1e-6)
    plain = lenet.LeNet(10)
    given = {'params': {}}
    assert fold_once(plain, given, images) == (plain, given)
