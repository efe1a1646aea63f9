"""The forms for a GPU, computed on the CPU: the same functions, and chosen where they pay."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnn_jax import ops
from cnn_jax.ops.gpu import blocks, choice, max_pool
from cnn_jax.ops.windows import Forms, Geometry, plain

# (window, stride, pads): no overlap, overlap, every pixel a start, sizes that differ by axis, pixels left out.
POOLS = [
    ((2, 2), (2, 2), ((0, 0), (0, 0))),
    ((2, 2), (2, 2), ((1, 1), (0, 1))),
    ((3, 3), (2, 2), ((1, 1), (1, 1))),
    ((3, 3), (1, 1), ((1, 1), (0, 1))),
    ((3, 2), (2, 1), ((0, 1), (1, 0))),
    ((2, 2), (3, 2), ((0, 0), (1, 1))),
]
# (images, window, stride, pads): the nets' first layers, small; no overlap; a kernel that hangs over, unused columns.
CONVOLUTIONS = [
    ((2, 16, 16, 3), (7, 7), (2, 2), ((3, 3), (3, 3))),
    ((2, 19, 23, 3), (11, 11), (4, 4), ((2, 2), (2, 2))),
    ((2, 13, 11, 4), (3, 5), (2, 3), ((0, 1), (2, 0))),
    ((1, 9, 9, 3), (4, 4), (4, 4), ((0, 0), (0, 0))),
]


def plain_max_pool(images, window, stride, pads):
    low = np.array(-np.inf, images.dtype)
    return lax.reduce_window(images, low, lax.max, (1, *window, 1), (1, *stride, 1), ((0, 0), *pads, (0, 0)))


@pytest.mark.parametrize(('window', 'stride', 'pads'), POOLS)
def test_max_pool_and_its_gradient_ties_included(window, stride, pads):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 4, (2, 9, 8, 3)), 'float32')
    expected, pull = jax.vjp(lambda x: plain_max_pool(x, window, stride, pads), images)
    weights = jnp.asarray(rng.integers(-8, 8, expected.shape), 'float32')
    np.testing.assert_array_equal(max_pool.max_pool(images, window=window, stride=stride, pads=pads), expected)
    outputs, place = max_pool.max_pool_with_place(images, window=window, stride=stride, pads=pads)
    shapes = {'images': images.shape, 'window': window, 'stride': stride, 'pads': pads}
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_array_equal(max_pool.images_gradient(place, weights, **shapes), pull(weights)[0])


@pytest.mark.parametrize('row', range(3))
def test_a_nan_is_not_passed_over(row):
    images = jnp.zeros((1, 3, 3, 1)).at[0, row, 1].set(jnp.nan)
    assert jnp.isnan(max_pool.max_pool_with_place(images, window=(3, 3), stride=(2, 2), pads=((0, 0), (0, 0)))[0]).all()


@pytest.mark.parametrize(('images_shape', 'window', 'stride', 'pads'), CONVOLUTIONS)
def test_blocks_are_the_convolution(images_shape, window, stride, pads):
    geometry = Geometry(stride, pads, (1, 1), 1)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        images, kernel = (jnp.asarray(rng.standard_normal(s)) for s in (images_shape, (*window, images_shape[3], 5)))
        expected, pull = jax.vjp(lambda k: plain(images, k, geometry), kernel)
        weights = jnp.asarray(rng.standard_normal(expected.shape))
        np.testing.assert_allclose(blocks.forward(images, kernel, geometry), expected, rtol=1e-12, atol=1e-12)
        gradient = blocks.kernel_gradient(images, weights, kernel.shape, geometry)
        np.testing.assert_allclose(gradient, pull(weights)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ('kernel', 'geometry', 'dtype', 'chosen'),
    [
        ((7, 7, 3, 64), Geometry((2, 2), ((3, 3), (3, 3)), (1, 1), 1), 'bfloat16', True),
        ((11, 11, 3, 64), Geometry((4, 4), ((2, 2), (2, 2)), (1, 1), 1), 'float16', True),
        ((7, 7, 3, 64), Geometry((2, 2), ((3, 3), (3, 3)), (1, 1), 1), 'float32', False),
        ((3, 3, 3, 64), Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1), 'bfloat16', False),
        ((1, 1, 3, 64), Geometry((2, 2), ((0, 0), (0, 0)), (1, 1), 1), 'bfloat16', False),
        ((3, 3, 64, 64), Geometry((2, 2), ((1, 1), (1, 1)), (1, 1), 1), 'bfloat16', False),
        ((3, 3, 3, 64), Geometry((2, 2), ((1, 1), (1, 1)), (2, 2), 1), 'bfloat16', False),
        ((3, 3, 3, 64), Geometry((2, 2), ((1, 1), (1, 1)), (1, 1), 2), 'bfloat16', False),
    ],
)
def test_blocks_are_for_strided_first_layers_in_16_bits(kernel, geometry, dtype, chosen):
    assert choice.choose(kernel, geometry, dtype) == (choice.BLOCKS if chosen else Forms())


def test_a_first_layer_is_lowered_as_blocks_for_a_gpu():
    images, kernel = jnp.zeros((1, 16, 16, 3), 'bfloat16'), jnp.zeros((7, 7, 3, 8), 'bfloat16')
    convolve = jax.jit(functools.partial(ops.conv2d, stride=2, padding=3))
    texts = [convolve.trace(images, kernel).lower(lowering_platforms=(p,)).as_text() for p in ('cuda', 'tpu', 'cpu')]
    assert ['tensor<4x4x16x8xbf16>' in text for text in texts] == [True, False, False]
