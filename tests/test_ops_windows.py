"""Paddings and windows by hand: much padding, windows of padding alone, numpy's integers, empty arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.layers import Conv2D, Dense
from cnn_jax.ops import filters


@pytest.mark.parametrize('choice', ['auto', 'lax'])
def test_more_padding_than_the_kernel_reaches(choice):
    """XLA:CPU read memory that nobody wrote: -3.3e14 for a 6, and up to 1e37."""
    images, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))

    @jax.jit
    def of_images(images):
        outputs, pull = jax.vjp(lambda x: ops.conv2d(x, kernel, padding=((4, 1), (3, 3))), images)
        return pull(jnp.ones_like(outputs))[0]

    with ops.implementation(choice):
        np.testing.assert_array_equal(of_images(images)[0, :, :, 0], [[9] * 4] * 3 + [[6] * 4])
        large = ops.conv2d_transpose(jnp.ones((1, 8, 8, 1)), jnp.ones((2, 2, 1, 1)), padding=((2, 0), (2, 0)))
    row = np.array([2, 2, 2, 2, 2, 2, 1])  # of nine, two are cropped
    np.testing.assert_array_equal(large[0, :, :, 0], np.outer(row, row))


def test_a_window_whose_taps_all_lie_in_the_padding():
    images, kernel = jnp.ones((1, 2, 1, 1)), jnp.ones((2, 2, 1, 1))
    outputs, pull = jax.vjp(lambda *a: ops.conv2d(*a, padding=1, dilation=2), images, kernel)
    assert outputs.shape == (1, 2, 1, 1)
    for array in (outputs, *pull(jnp.ones_like(outputs))):
        assert not array.any()


@pytest.mark.parametrize('padding', [2, (0, 2), ((0, 0), (2, 0))])
def test_there_is_no_maximum_of_padding_alone(padding):
    images = jnp.ones((1, 4, 4, 1))
    for pool in (ops.max_pool, lambda *a, **k: ops.avg_pool(*a, **k, count_padding=False)):
        with pytest.raises(ValueError, match=r'padding is .*2.*; it must be below the window, 2x2'):
            pool(images, window=2, padding=padding)
    zeros = ops.avg_pool(images, window=2, padding=2)[0, 0, 0, 0], ops.l2_pool(images, window=2, padding=2)[0, 0, 0, 0]
    assert [float(zero) for zero in zeros] == [0, 0]


@pytest.mark.parametrize(('stride', 'dilation', 'extra'), [(2, 1, 2), (1, 1, 1), ((2, 1), 1, (0, 1)), (2, 3, 3)])
def test_output_padding_is_below_the_stride_or_the_dilation(stride, dilation, extra):
    images, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((2, 2, 1, 1))
    with pytest.raises(ValueError, match=r'output_padding is .* must be below the stride .* or the dilation'):
        ops.conv2d_transpose(images, kernel, stride=stride, dilation=dilation, output_padding=extra)
    if dilation == 3:
        assert ops.conv2d_transpose(images, kernel, stride=2, dilation=3, output_padding=2).shape == (1, 12, 12, 1)


def test_integers_of_numpy():
    one, two = np.int64(1), np.int32(2)
    images, kernel = jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 1, 2))
    expected = ops.conv2d(images, kernel, padding=1, groups=2, stride=2, dilation=1)
    for padding in (one, (one, one), ((one, one), (1, one))):
        found = ops.conv2d(images, kernel, padding=padding, groups=two, stride=two, dilation=one)
        np.testing.assert_array_equal(found, expected)
    assert ops.max_pool(images, window=two, padding=one, stride=(two, one)).shape == (1, 3, 6, 2)
    assert ops.adaptive_avg_pool(images, output_size=two).shape == (1, 2, 2, 2)
    layer = Conv2D(two, two, padding=one, groups=two)  # pyright: ignore[reportArgumentType]
    assert layer.init_with_output(jax.random.key(0), images)[0].shape == (1, 6, 6, 2)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'padding': 1.5}, 'padding is 1.5; give an integer or a pair'),
        ({'padding': None}, 'padding is None; give an integer or a pair'),
        ({'padding': np.array([1, 1])}, 'padding is .*; give an integer or a pair'),
        ({'stride': np.array([1, 1])}, 'stride is .*; give an integer or a pair'),
        ({'stride': np.True_}, 'stride is .*; give an integer or a pair'),
        ({'groups': True}, 'groups is True; it must be an integer of at least 1'),
        ({'groups': 1.0}, 'groups is 1.0; it must be an integer of at least 1'),
    ],
)
def test_what_is_no_integer_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.conv2d(jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1)), **arguments)


@pytest.mark.parametrize('shape', [(0, 0, 2, 3), (3, 3, 2, 0), (0, 3, 2, 3), (3, 3, 0, 3)])
def test_a_kernel_of_nothing(shape):
    images = jnp.ones((1, 5, 5, shape[2]))
    with pytest.raises(ValueError, match='must be at least 1'):
        ops.conv2d(images, jnp.ones(shape))
    with pytest.raises(ValueError, match='must be at least 1'):
        ops.conv2d_transpose(jnp.ones((1, 5, 5, shape[3])), jnp.ones(shape))
    with pytest.raises(ValueError, match='must be at least 1'):
        ops.depthwise_conv2d(images, jnp.ones(shape))


def test_images_and_layers_of_nothing():
    for function in (lambda x: ops.max_pool(x, window=1), ops.global_avg_pool, ops.local_response_norm):
        with pytest.raises(ValueError, match=r'images has shape \(1, 0, 4, 1\); height, width and channels must be'):
            function(jnp.ones((1, 0, 4, 1)))
    with pytest.raises(ValueError, match='kernel has shape'):
        filters.correlate2d(jnp.ones((1, 3, 3, 1)), np.ones((0, 0)))
    with pytest.raises(ValueError, match='Conv2D: filters is 0; it must be an integer of at least 1'):
        Conv2D(0, 3).init(jax.random.key(0), jnp.ones((1, 5, 5, 1)))
    with pytest.raises(ValueError, match='Conv2D: kernel_size is 0; it must be at least 1'):
        Conv2D(2, 0).init(jax.random.key(0), jnp.ones((1, 5, 5, 1)))
    with pytest.raises(ValueError, match='Dense: features is 0; it must be an integer of at least 1'):
        Dense(0).init(jax.random.key(0), jnp.ones((1, 5)))
