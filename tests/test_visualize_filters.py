"""Filter pictures: what is in them, their scale and their colours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.drawing import figure as drawing
from cnn_jax.errors import CnnJaxError
from cnn_jax.layers import ConvNorm
from cnn_jax.visualize import filters


def variables(**shapes):
    rng = np.random.default_rng(0)
    return {'params': {name: {'kernel': rng.normal(size=shape).astype(np.float32)} for name, shape in shapes.items()}}


def test_filters_of_grey_images_are_raw_weights_in_a_grid():
    tree = variables(conv1=(5, 5, 1, 10), fc=(20, 3))
    arrays = filters.visualize(None, tree)
    kernel = tree['params']['conv1']['kernel']
    assert arrays['filters'].shape == (10, 5, 5, 1)
    assert arrays['picture'].shape == (2 * 6 - 1, 5 * 6 - 1)
    np.testing.assert_array_equal(arrays['picture'][:5, 6:11], kernel[:, :, 0, 1])
    np.testing.assert_array_equal(arrays['picture'][6:, :5], kernel[:, :, 0, 5])
    assert np.isnan(arrays['picture'][5]).all()
    assert arrays['limit'] == np.abs(kernel).max()


def test_filters_of_colour_images_are_colours_on_one_scale():
    tree = variables(stem=(3, 3, 3, 4))
    arrays = filters.visualize(None, tree)
    kernel, picture = tree['params']['stem']['kernel'], arrays['picture']
    np.testing.assert_allclose(picture[:3, :3], 0.5 + kernel[..., 0] / (2 * np.abs(kernel).max()), rtol=1e-6)
    assert np.nanmin(np.abs(picture - 0.5)) >= 0
    assert max(np.nanmax(picture), 1 - np.nanmin(picture)) == pytest.approx(1)  # the largest weight is at one end


def test_deeper_kernels_are_tiles_of_filters_by_inputs():
    tree = variables(conv1=(3, 3, 1, 4), conv2=(3, 3, 4, 7))
    arrays = filters.visualize(None, tree, layer='conv2', most_filters=5, most_inputs=2)
    picture = arrays['picture']
    assert picture.shape == (2 * 4 - 1, 5 * 4 - 1)
    np.testing.assert_array_equal(picture[4:7, 8:11], tree['params']['conv2']['kernel'][:, :, 1, 2])
    assert arrays['limit'] == np.nanmax(np.abs(picture))
    assert arrays['filters'].shape == (7, 3, 3, 4)


def test_layers_are_in_the_order_of_their_numbers_and_the_first_reads_images():
    tree = variables(conv10=(3, 3, 4, 4), conv2=(3, 3, 4, 4), stem=(3, 3, 3, 4))
    assert list(filters.convolution_kernels(tree)) == ['conv2', 'conv10', 'stem']
    assert filters.visualize(None, tree)['filters'].shape[-1] == 3


def test_unknown_layers_are_named_with_the_closest():
    tree = variables(conv1=(3, 3, 1, 4), conv2=(3, 3, 4, 4), fc=(4, 4))
    with pytest.raises(CnnJaxError, match=r"unknown convolution: 'conv3'; choose from: conv"):
        filters.visualize(None, tree, layer='conv3')
    with pytest.raises(CnnJaxError, match='no kernel'):
        filters.visualize(None, variables(fc=(4, 4)))


@pytest.mark.parametrize('kernel', [np.zeros((3, 3, 1, 4)), np.full((3, 3, 3, 2), np.nan), jnp.ones((1, 1, 2, 3))])
def test_dead_and_broken_filters_are_drawn_too(kernel, tmp_path):
    arrays = filters.visualize(None, {'params': {'conv1': {'kernel': kernel}}})
    drawing.save_figure(filters.draw(arrays), tmp_path, 'filters', arrays, {'layer': 'conv1'})
    assert (tmp_path / 'filters.png').stat().st_size > 1000
    assert 'conv1' in filters.caption(arrays, 'conv1')


def test_diverging_colours_are_even_and_centred():
    colors = drawing.diverging()(np.linspace(0, 1, 256))[:, :3]
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(luminance) - 16  # CIE L*
    assert (np.diff(lightness[:128]) > 0).all()
    assert (np.diff(lightness[128:]) < 0).all()
    np.testing.assert_allclose(lightness, lightness[::-1], atol=4)  # both ends weigh the same
    steps = np.abs(np.diff(lightness[:128]))
    assert steps.max() < 1.6 * steps.min()
    assert lightness[127] > 94
    middle = drawing.diverging()(np.array([127, 128]))[:, :3]
    assert np.ptp(middle, axis=1).max() < 0.02  # no hue at zero


def test_oklab_of_known_colours():
    # White, black, and the grey whose Oklab lightness is 0.6 (Ottosson 2020).
    rgb = drawing.oklab_to_rgb(np.array([[1, 0, 0], [0, 0, 0], [0.6, 0, 0]]))
    np.testing.assert_allclose(rgb[:2], [[1, 1, 1], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(rgb[2], 1.055 * 0.216 ** (1 / 2.4) - 0.055, atol=1e-6)


def test_figures_leave_no_global_state():
    import matplotlib

    before = dict(matplotlib.rcParams)
    filters.draw(filters.visualize(None, variables(conv1=(3, 3, 1, 4))))
    assert dict(matplotlib.rcParams) == before


def test_filters_on_scales_of_their_own():
    tree = variables(conv1=(3, 3, 1, 4))
    arrays = filters.visualize(None, tree, scale='each')
    kernel = tree['params']['conv1']['kernel']
    np.testing.assert_allclose(arrays['limits'], np.abs(kernel).max((0, 1, 2)))
    np.testing.assert_allclose(arrays['picture'][:3, :3], kernel[:, :, 0, 0] / arrays['limits'][0], rtol=1e-6)
    assert 'each on a scale of its own' in filters.caption(arrays, 'conv1')
    filters.draw(arrays)


def test_folding_the_norm_gives_the_same_convolution():
    rng = np.random.default_rng(0)
    model = ConvNorm(4, 3)
    images = rng.normal(size=(1, 5, 5, 3)).astype(np.float32)
    tree = model.init(jax.random.key(0), images, train=False)
    norm = {name: rng.uniform(0.5, 2, 4).astype(np.float32) for name in ('mean', 'var', 'scale', 'bias')}
    tree = {
        'params': {'conv1': {'conv': tree['params']['conv'], 'norm': {key: norm[key] for key in ('scale', 'bias')}}},
        'batch_stats': {'conv1': {'norm': {key: norm[key] for key in ('mean', 'var')}}},
    }
    folded = filters.visualize(None, tree, layer='conv1', fold_norm=True)['filters'].transpose(1, 2, 3, 0)
    apart = {collection: below['conv1'] for collection, below in tree.items()}
    factor = norm['scale'] / np.sqrt(norm['var'] + 1e-5)
    expected = np.asarray(model.apply(apart, images, train=False))
    found = np.asarray(ops.conv2d(jnp.asarray(images), jnp.asarray(folded))) + (
        norm['bias'] - norm['mean'] * factor
    ).reshape(1, 1, 1, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(CnnJaxError, match='no batch normalisation'):
        filters.visualize(None, variables(conv1=(3, 3, 3, 4)), fold_norm=True)
