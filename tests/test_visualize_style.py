"""Style transfer: the stored oracle, closed forms, and what holds for pictures of every size."""

import importlib.util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_net import drawn
from PIL import Image

from cnn_jax.errors import CnnJaxError
from cnn_jax.losses import gram_matrices
from cnn_jax.models import vgg
from cnn_jax.visualize import style
from cnn_jax.visualize.engine import picture_file
from cnn_jax.visualize.optimized import descent, styles
from cnn_jax.visualize.optimized.inputs import measured
from cnn_jax.visualize.optimized.painting import mirrored

GOLDEN = Path(__file__).parents[2] / 'shared' / 'golden'
LAYERS = {'content_layers': ('conv2_1',), 'style_layers': ('conv1_1', 'conv2_1')}
SIZES = {'num_classes': 2, 'stage_sizes': (1, 1), 'filters': (4, 6), 'hidden_units': 4}
NUMBERS = {
    f'conv{block}_{layer}': number
    for block, numbers in enumerate([(0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)], 1)
    for layer, number in enumerate(numbers, 1)
}


@pytest.fixture(scope='module')
def net():
    model = vgg.VGG(**SIZES)
    return model, drawn(model, np.zeros((1, 12, 16, 3), np.float32), train=False)


@pytest.fixture
def painting(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (10, 13, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'painting.png')
    return str(tmp_path / 'painting.png')


def preprocess(pixels):
    return jnp.asarray(pixels, jnp.float32)[..., ::-1] / 64 - np.array([[[[1.0, 2.0, 1.5]]]], np.float32)


def photograph(height=12, width=17):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def transferred(net: Any, painting, pixels, **options):
    return style.visualize(*net, photograph=pixels, preprocess=preprocess, style=(painting,), **LAYERS, **options)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f'the stored oracles are not there: {GOLDEN}')
@pytest.mark.usefixtures('optimised')
@pytest.mark.parametrize(('theirs', 'ours'), [('max', 'max'), ('avg', 'average')])
def test_losses_and_gradients_are_those_of_the_stored_oracle(theirs, ours):
    spec = importlib.util.spec_from_file_location('golden_weights', GOLDEN / 'weights.py')
    assert spec is not None
    assert spec.loader is not None
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    with np.load(GOLDEN / 'style_vgg16.npz') as file:
        oracle = dict(file)
    params, before = {}, 3
    for name, number in NUMBERS.items():
        filters = vgg.VGG.filters[int(name[4]) - 1]
        kernel = weights.weight(f'features.{number}.weight', (filters, before, 3, 3)).transpose(2, 3, 1, 0)
        params[name] = {'kernel': kernel, 'bias': weights.weight(f'features.{number}.bias', (filters,))}
        before = filters
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), {'params': params})
        shown, painted, image = (jnp.asarray(one[None], jnp.float64) for one in weights.images(3, 96))

        @jax.jit
        def both(variables, image):
            def found(image):
                return style.losses(vgg.VGG(pool=ours), variables, image, content=shown, style=painted)

            values, pull = jax.vjp(found, image)
            one, zero = jnp.ones(()), jnp.zeros(())
            return values, [pull({'content': one, 'style': zero})[0], pull({'content': zero, 'style': one})[0]]

        values, gradients = both(double, image)
    for name, gradient in zip(('content', 'style'), gradients, strict=True):
        np.testing.assert_allclose(values[name], oracle[f'{theirs}_{name}'], rtol=1e-6)
        expected = oracle[f'{theirs}_{name}_gradient']
        np.testing.assert_allclose(gradient[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_gram_matrix_knows_which_channels_meet_and_not_where():
    maps = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype(np.float32)
    shuffled = np.random.default_rng(1).permutation(maps.reshape(1, 20, 3), axis=1).reshape(1, 5, 4, 3)
    found = np.asarray(gram_matrices(jnp.asarray(maps)))
    np.testing.assert_allclose(found, np.einsum('bhwi,bhwj->bij', maps, maps) / 20, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gram_matrices(jnp.asarray(shuffled)), found, rtol=1e-5, atol=1e-6)


def test_an_image_has_no_loss_where_it_is_the_target(net):
    model, variables = net
    one, other = (preprocess(photograph(12, width)[None]) for width in (17, 14))
    found = style.losses(model, variables, one, content=one, style=one, **LAYERS)
    assert found == {'content': 0, 'style': 0}
    assert style.losses(model, variables, one, content=one, style=other, **LAYERS)['style'] > 0


def test_the_content_alone_does_not_move(net, painting):
    pixels = photograph()
    for optimizer in ('lbfgs', 'adam'):
        found = transferred(net, painting, pixels, style_weight=0.0, variation=0.0, steps=3, optimizer=optimizer)
        np.testing.assert_array_equal(found['images'][0], pixels / np.float32(255))
        assert found['notes'] == [descent.LEAST]


@pytest.mark.parametrize('steps', [0, 4])
def test_no_step_or_the_content_alone_gives_the_content_back_at_two_sizes(net, painting, steps):
    pixels = photograph(41, 66)
    found = transferred(net, painting, pixels, style_weight=0.0, variation=0.0, steps=steps, octaves=2)
    np.testing.assert_allclose(found['images'][0], pixels / np.float32(255), atol=1e-6)
    assert found['octave'].tolist() == [[1, 2]]
    with pytest.raises(CnnJaxError, match='octaves: 3 given'):
        transferred(net, painting, pixels, steps=0, octaves=3)


def test_strokes_of_the_smaller_size_are_handed_on(net, painting):
    pixels = photograph(41, 66)
    found = transferred(net, painting, pixels, steps=7, octaves=2)
    assert found['octave'].tolist() == [[1.0] * 4 + [2.0] * 5]
    first, later = (found['loss'][0, found['octave'][0] == number] for number in (1, 2))
    assert (np.diff(first) <= 0).all()
    assert (np.diff(later) <= 0).all()
    alone = transferred(net, painting, pixels, steps=0, octaves=1)
    assert later[0] != alone['loss'][0, 0]


@pytest.mark.parametrize('shape', [(12, 17), (19, 16)])
def test_the_loss_falls_at_any_size_and_never_rises_with_lbfgs(net, painting, shape):
    pixels = photograph(*shape)
    found = transferred(net, painting, pixels, steps=8, weights=(1.0, 3.0))
    assert found['images'].shape == (2, *shape, 3)
    assert ((found['images'] >= 0) & (found['images'] <= 1)).all()
    assert (np.diff(found['loss']) <= 0).all()
    assert (found['loss'][:, -1] < 0.9 * found['loss'][:, 0]).all()
    parts = sum(found[name] for name in ('content_loss', 'style_loss', 'variation_loss'))
    np.testing.assert_allclose(parts, found['loss'], rtol=1e-5)
    assert found['loss'].shape == (2, 9)
    adam = transferred(net, painting, pixels, steps=8, optimizer='adam')
    assert adam['loss'][0, -1] < adam['loss'][0, 0]


def test_a_weight_counts_for_the_style_and_what_smooths_it(net, painting):
    found = transferred(net, painting, photograph(), steps=3, weights=(2.0,))
    alone = transferred(net, painting, photograph(), steps=3, style_weight=8.0, variation=80.0)
    np.testing.assert_array_equal(found['images'], alone['images'])


def test_a_picture_that_is_mostly_smoothed_says_so(net, painting):
    found = [transferred(net, painting, photograph(), steps=3, variation=value)['notes'][0] for value in (1e4, 0.0)]
    assert 'a smaller --set.variation' in found[0]
    assert found[1] == ''


def test_the_published_settings_start_from_noise_and_the_pools_are_those_that_are_asked_for(net, painting):
    drawn = [
        transferred(net, painting, photograph(), preset=preset, steps=0, seed=seed)['images']
        for preset, seed in (('gatys', 0), ('neural_style', 0), ('gatys', 1))
    ]
    assert (drawn[0] == drawn[1]).all()
    assert not (drawn[0] == drawn[2]).any()
    first = [transferred(net, painting, photograph(), steps=0, pool=pool)['loss'] for pool in ('max', 'average')]
    assert first[0] != first[1]


def test_the_total_variation_of_neural_style_is_a_sum_over_pixels_of_0_to_255(net, painting):
    found = transferred(net, painting, photograph(), preset='neural_style', steps=0, start='content')
    down, across = (np.diff(photograph().astype(float), axis=axis) for axis in (0, 1))
    expected = 1e-3 / 2 * (np.square(down).sum() + np.square(across).sum())
    np.testing.assert_allclose(found['variation_loss'][0, 0], expected, rtol=1e-5)


def test_a_blend_of_one_style_with_nothing_is_that_style(net, painting, tmp_path):
    Image.fromarray(photograph(9, 9)).save(tmp_path / 'other.png')
    options = {'photograph': photograph(), 'preprocess': preprocess, 'steps': 0, **LAYERS}
    alone = style.visualize(*net, style=(painting,), **options)
    blended = style.visualize(*net, style=(painting, str(tmp_path / 'other.png')), blend=(2.0, 0.0), **options)
    np.testing.assert_allclose(blended['loss'], alone['loss'], rtol=1e-6)
    drawn: Any = style.draw(blended).artists[2]
    assert drawn.get_array().shape == (9, 9, 3)


def test_original_colours_are_those_of_the_content(net, painting):
    pixels = photograph()
    found = transferred(net, painting, pixels, steps=0, original_colors=True)['images'][0]
    np.testing.assert_allclose(found, pixels / 255, atol=3 / 255)
    grey = np.full((12, 17, 3), 0.5, np.float32)
    mixed = Image.fromarray(np.uint8(np.round(255 * picture_file.recoloured(grey, photograph() // 4 + 96))))
    assert np.abs(np.asarray(mixed.convert('L'), int) - 128).max() <= 2


def test_inputs_follow_the_order_of_the_channels_and_refuse_what_is_no_map_of_colours():
    found = measured(preprocess, photograph())
    other = photograph(5, 6)[None]
    np.testing.assert_allclose(found(jnp.asarray(other) / 255), preprocess(other), rtol=0, atol=1e-5)
    with pytest.raises(CnnJaxError, match='does more to a photograph'):
        measured(lambda pixels: jnp.square(jnp.asarray(pixels, jnp.float32)), photograph())


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        ({'style': ()}, r'add --set\.style=FILE'),
        ({'style': ('nowhere.png',)}, r'--set\.style: nowhere\.png is not there'),
        ({'blend': (1.0, 2.0)}, r'given for 1 styles'),
        ({'weights': (-1.0,)}, 'none negative'),
        ({'steps': -1}, 'at least 0 and 16'),
        ({'content_layers': ('conv9_9',)}, 'conv9_9'),
        ({'content_layers': style.CONTENT_LAYERS, 'style_layers': style.STYLE_LAYERS}, r'--set\.style_layers=NAME'),
    ],
)
def test_a_mistake_is_one_line(net, painting, options, line):
    given = {'style': (painting,), **LAYERS, **options}
    with pytest.raises(CnnJaxError, match=line) as raised:
        style.visualize(*net, photograph=photograph(), preprocess=preprocess, **given)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(('size', 'margin', 'left'), [(40, 8, 40), (5, 8, 5), (40, 0, 40), (2, 4, 2)])
def test_what_is_mirrored_around_an_image_does_not_count(size, margin, left):
    image = jnp.arange(float(size * 9)).reshape(1, size, 9, 1)
    padded = mirrored(image, margin)
    np.testing.assert_array_equal(styles.inside(padded, padded.shape, margin), image)
    halved = styles.inside(padded[:, ::2, ::2], padded.shape, margin)
    assert abs(halved.shape[1] - left / 2) <= 1
    assert styles.inside(padded[:, :1, :1], padded.shape, margin).shape == (1, 1, 1, 1)
