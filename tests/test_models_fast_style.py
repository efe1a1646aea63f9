"""Nets that repaint images: any size, every variable, instance norm against numpy, and what a loss network sees."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_models import random_variables

from cnn_jax.errors import CnnJaxError
from cnn_jax.layers import InstanceNorm
from cnn_jax.models import fast_style
from cnn_jax.models.fast_style import FastStyle, Perceptual, mirrored
from cnn_jax.models.vgg import VGG
from cnn_jax.weights.convert import variable_shapes
from cnn_jax.weights.native import build_model, describe_model

RNG = np.random.default_rng(0)
NET = FastStyle(filters=4, residual_blocks=1)
LAYERS = ('conv1_1', 'conv2_1')
TRUNK = VGG(stage_sizes=(1, 1), width=1 / 16, outputs=LAYERS)
WHOLE = Perceptual(net=NET, trunk=TRUNK, content_layers=LAYERS[1:], style_layers=LAYERS, style_size=16)


def unit_images(*shape: int) -> np.ndarray:
    return RNG.uniform(size=shape).astype(np.float32)


def applied(net, variables, images, **options) -> Any:
    """What a net gives, in one program."""
    return jax.device_get(jax.jit(lambda variables, images: net.apply(variables, images, **options))(variables, images))


@pytest.fixture(scope='module')
def variables() -> Any:
    return random_variables(WHOLE, jax.ShapeDtypeStruct((2, 20, 24, 3), jnp.float32))


@pytest.mark.parametrize('offset', [0.0, 1000.0])
def test_instance_norm_is_numpys(offset):
    images = (RNG.normal(2.0, 3.0, (3, 5, 4, 2)) + offset).astype(np.float32)
    scale, bias = np.array([1.5, -2.0], np.float32), np.array([0.5, 3.0], np.float32)
    wide = images.astype(np.float64)
    centred = wide - wide.mean((1, 2), keepdims=True)
    expected = centred / np.sqrt(centred.var((1, 2), keepdims=True) + 1e-5) * scale + bias
    found = applied(InstanceNorm(), {'params': {'scale': scale, 'bias': bias}}, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_instance_norm_knows_no_other_image_and_keeps_the_type():
    images = unit_images(3, 6, 5, 4)
    layer = InstanceNorm(activation='relu')
    apply: Any = jax.jit(layer.apply)
    variables = jax.jit(layer.init)(jax.random.key(0), images)
    alone = np.concatenate([apply(variables, one[None]) for one in images])
    together = apply(variables, images)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.min(together) == 0
    assert apply(variables, images.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    np.testing.assert_array_equal(apply(variables, np.full((1, 3, 3, 4), 7.0, np.float32)), np.zeros((1, 3, 3, 4)))


@pytest.mark.parametrize(('height', 'width'), [(16, 16), (17, 30), (19, 21), (32, 18)])
def test_a_picture_has_the_size_of_its_image(height, width):
    images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32)
    found = jax.eval_shape(lambda x: NET.init_with_output(jax.random.key(0), x, train=False)[0], images)
    assert found.shape == (2, height, width, 3)
    assert found.dtype == jnp.float32


def test_a_flat_image_is_painted_of_the_noise_and_of_nothing_without_it():
    """Of one grey a net without noise makes one colour, however it is trained; noise is the same for all images."""
    grey = np.full((2, 20, 22, 3), 0.5, np.float32)
    spread = {}
    for planes in (0, 1):
        net = NET.clone(noise=planes)
        variables = random_variables(net, jax.ShapeDtypeStruct(grey.shape, jnp.float32))
        picture = applied(net, variables, grey, train=False)
        np.testing.assert_array_equal(picture[0], picture[1])
        spread[planes] = picture[0].std((0, 1)).max()
    assert spread[0] < 1e-5
    assert spread[1] > 0.01


def test_an_image_that_is_too_small_is_one_line():
    with pytest.raises(CnnJaxError, match=r'15 x 40 given; this net takes 16 pixels') as raised:
        jax.eval_shape(lambda x: NET.init(jax.random.key(0), x, train=False), jnp.zeros((1, 15, 40, 3)))
    assert '\n' not in str(raised.value)


def test_pictures_stay_near_black_and_white_and_borders_are_mirrored(variables):
    strong = jax.tree.map(lambda leaf: 50 * leaf, variables['params']['net'])
    found = applied(NET, {'params': strong}, unit_images(1, 18, 22, 3), train=False)
    assert np.abs(found - 0.5).max() <= fast_style.REACH + 1e-6
    image = unit_images(1, 4, 5, 1)
    expected = np.pad(image, [(0, 0), (2, 2), (2, 2), (0, 0)], 'reflect')
    np.testing.assert_array_equal(jax.jit(lambda image: mirrored(image, 2))(image), expected)


def test_one_step_reaches_every_variable_of_the_net(variables):
    images = unit_images(2, 20, 24, 3)

    @jax.jit
    def gradients(params):
        def total(params):
            found: Any = WHOLE.apply({**variables, 'params': params}, images, train=True)
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(found))

        return jax.grad(total)(params)

    for path, leaf in jax.tree.leaves_with_path(gradients(variables['params'])):
        norm = float(np.linalg.norm(np.asarray(leaf)))
        assert np.isfinite(norm), path
        assert norm, path


def test_the_loss_network_sees_both_and_the_style(variables):
    """Against calls of the trunk by hand, in the order of the channels that it takes."""
    style = unit_images(16, 16, 3)
    unknown = jax.tree.map(lambda leaf: np.full_like(leaf, -1), variables['batch_stats'])
    variables = {**variables, 'given': {'style': style}, 'batch_stats': unknown}
    images = unit_images(2, 20, 24, 3)
    found = applied(WHOLE, variables, images, train=False)

    def seen(pictures) -> Any:
        inputs = 255 * pictures[..., ::-1] - np.array([[[[103.939, 116.779, 123.68]]]], np.float32)
        return applied(TRUNK, {'params': variables['params']['trunk']}, inputs, train=False)

    of_both, of_style = seen(np.concatenate([images, found['image']])), seen(style[None])
    of_images, of_pictures = (
        jax.tree.map(lambda maps, part=part: maps[part], of_both) for part in (np.s_[:2], np.s_[2:])
    )
    np.testing.assert_allclose(found['content']['conv2_1'], of_images['conv2_1'], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found['shown']['conv2_1'], of_pictures['conv2_1'], rtol=1e-4, atol=1e-3)
    for name in LAYERS:
        flat = np.asarray(of_style[name]).reshape(256 // 4 ** LAYERS.index(name), -1)
        expected = np.broadcast_to(flat.T @ flat / len(flat), found['style'][name].shape)
        np.testing.assert_allclose(found['style'][name], expected, rtol=1e-3, atol=1e-2)


def test_the_style_is_looked_at_once(variables):
    """A step keeps the Gram matrices; those after it take them as they are, until there is another style."""
    unknown = jax.tree.map(lambda leaf: np.full_like(leaf, -1), variables['batch_stats'])
    variables = {**variables, 'given': {'style': unit_images(16, 16, 3)}, 'batch_stats': unknown}
    images = unit_images(2, 20, 24, 3)

    @jax.jit
    def step(variables):
        return WHOLE.apply(variables, images, train=True, mutable=['batch_stats'])

    first, kept = jax.device_get(step(variables))
    own: Any = kept['batch_stats']
    spoilt = {**own, 'style_conv1_1': own['style_conv1_1'] + 1}
    again, still = jax.device_get(step({**variables, 'batch_stats': spoilt}))
    evaluated = applied(WHOLE, {**variables, 'batch_stats': spoilt}, images, train=False)
    for name in LAYERS:
        np.testing.assert_array_equal(kept['batch_stats'][f'style_{name}'], first['style'][name][:1])
        np.testing.assert_array_equal(again['style'][name][:1], spoilt[f'style_{name}'])
        np.testing.assert_array_equal(evaluated['style'][name], again['style'][name])
    jax.tree.map(np.testing.assert_array_equal, still['batch_stats'], spoilt)
    other = {**variables, 'batch_stats': spoilt, 'given': {'style': unit_images(16, 16, 3)}}
    anew, now = jax.device_get(step(other))
    assert (anew['style']['conv1_1'] != again['style']['conv1_1']).any()
    np.testing.assert_array_equal(now['batch_stats']['style'], other['given']['style'])


def test_whoever_reads_the_picture_runs_no_loss_network(variables):
    images = jax.ShapeDtypeStruct((1, 20, 24, 3), jnp.float32)

    def flops(function):
        costs: Any = jax.jit(function).lower(variables, images).compile().cost_analysis()
        return costs['flops']

    def read(variables, images):
        found: Any = WHOLE.apply(variables, images, train=False)
        return found['image']

    alone = flops(lambda variables, images: NET.apply({'params': variables['params']['net']}, images, train=False))
    assert flops(read) == alone


def test_a_vgg_gives_the_maps_that_are_named():
    named = VGG(stage_sizes=(2, 1, 1), width=1 / 16, outputs=('conv1_2', 'conv3_1'))
    images = unit_images(1, 16, 12, 3)
    variables = named.init(jax.random.key(0), images, train=False)
    assert {*variables['params']} == {'conv1_1', 'conv1_2', 'conv2_1', 'conv3_1'}
    found: Any = named.apply(variables, images, train=False)
    assert {name: one.shape for name, one in found.items()} == {'conv1_2': (1, 16, 12, 4), 'conv3_1': (1, 4, 3, 16)}
    assert min(one.min() for one in found.values()) == 0  # after the activation
    with pytest.raises(ValueError, match='conv4_1 given; this VGG has no such convolution'):
        jax.eval_shape(lambda: named.clone(outputs=('conv4_1',)).init(jax.random.key(0), images, train=False))


@pytest.mark.parametrize('model', [make() for make in fast_style.VARIANTS.values()], ids=[*fast_style.VARIANTS])
def test_a_variant_comes_back_from_what_a_file_of_weights_keeps(model):
    header = describe_model(model)
    assert header['options'] == {}
    assert build_model(header) == model
    assert build_model(describe_model(WHOLE)) == WHOLE


def test_docstrings_say_what_the_design_asks_for():
    text = ' '.join(f'{FastStyle.__doc__} {Perceptual.__doc__}'.split())
    for word in ('(batch, ', 'Differs from the paper', 'arXiv:', 'Learned parameters: '):
        assert word in text, word
    trunk = variable_shapes(Perceptual().trunk, (64, 64, 3))['params']
    assert sum(leaf.size for leaf in jax.tree.leaves(trunk)) == 7_635_264
    assert '7,635,264 are the loss network' in text
