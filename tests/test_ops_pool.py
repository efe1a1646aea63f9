"""Pools against the lecture's picture, loops, Flax, and torch's rules worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from cnn_jax import ops

LECTURE = jnp.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]).reshape(1, 4, 4, 1)


def ties(*shape: int) -> jax.Array:
    """Returns images of few distinct values, so that most windows hold ties."""
    return jnp.asarray(np.random.default_rng(0).integers(0, 3, shape), 'float32')


def both(pool, images):
    """Returns the pool's outputs and a gradient, each output weighted differently."""
    outputs, pull = jax.vjp(pool, images)
    return outputs, pull(jnp.cos(jnp.arange(outputs.size, dtype=outputs.dtype)).reshape(outputs.shape))[0]


def test_the_picture_of_the_lecture():
    assert ops.max_pool(LECTURE, window=2)[0, :, :, 0].tolist() == [[6, 8], [3, 4]]
    assert ops.avg_pool(LECTURE, window=2)[0, :, :, 0].tolist() == [[3.25, 5.25], [2.0, 2.0]]


@pytest.mark.parametrize(
    ('size', 'window', 'stride', 'padding'),
    [
        ((8, 8), (2, 2), (2, 2), ((0, 0), (0, 0))),
        ((9, 7), (2, 2), (2, 2), ((0, 0), (0, 0))),
        ((9, 10), (3, 3), (2, 2), ((1, 1), (1, 1))),
        ((7, 7), (3, 3), (1, 1), ((1, 1), (1, 1))),
        ((9, 9), (2, 3), (3, 1), ((1, 0), (0, 2))),
        ((10, 9), (2, 2), (5, 5), ((1, 1), (1, 1))),
        ((8, 7), (5, 5), (3, 3), ((2, 2), (2, 2))),
        ((7, 7), (7, 7), (7, 7), ((0, 0), (0, 0))),
    ],
)
def test_max_pool_is_flax_max_pool_ties_included(size, window, stride, padding):
    images = ties(2, *size, 3)
    ours = jax.jit(lambda x: both(lambda i: ops.max_pool(i, window=window, stride=stride, padding=padding), x))(images)
    theirs = jax.jit(lambda x: both(lambda i: nn.max_pool(i, window, stride, padding), x))(images)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6, atol=1e-6)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    size=st.integers(3, 9),
    window=st.integers(1, 4),
    stride=st.integers(1, 4),
    pad=st.integers(0, 2),
    ceil=st.booleans(),
)
def test_fast_max_pool_equals_lax(size, window, stride, pad, ceil):
    pad = min(pad, window - 1)
    if window > size + 2 * pad:
        return
    images = ties(1, size, size + 1, 2)
    arguments = {'window': window, 'stride': stride, 'padding': pad, 'ceil_mode': ceil}
    function = jax.jit(lambda x: both(lambda i: ops.max_pool(i, **arguments), x))
    ours = function(images)
    with ops.implementation('lax'):
        plain = function(images)
    np.testing.assert_array_equal(ours[0], plain[0])
    np.testing.assert_allclose(ours[1], plain[1], rtol=1e-6, atol=1e-6)


def test_ceil_mode_lets_the_last_window_hang_over():
    row = jnp.arange(1.0, 7.0).reshape(1, 1, 6, 1)  # 1 .. 6
    pool = lambda **kw: ops.max_pool(row, window=(1, 3), stride=(1, 2), **kw)[0, 0, :, 0].tolist()  # noqa: E731
    assert pool() == [3, 5]
    assert pool(ceil_mode=True) == [3, 5, 6]
    # torch's rule: a window that would start in the trailing padding is left out
    assert ops.max_pool(row, window=(1, 2), stride=(1, 3), padding=(0, 1), ceil_mode=True).shape[2] == 3
    assert ops.max_pool(-row, window=(1, 3), stride=(1, 2), ceil_mode=True)[0, 0, :, 0].tolist() == [-1, -3, -5]
    googlenet = jnp.ones((1, 112, 112, 1))
    assert ops.max_pool(googlenet, window=3, stride=2, ceil_mode=True).shape[1] == 56


def test_avg_pool_counts_padding_or_not():
    ones = jnp.ones((1, 4, 4, 1))
    counted = ops.avg_pool(ones, window=3, stride=1, padding=1)
    assert counted[0, 0, 0, 0] == pytest.approx(4 / 9)
    assert bool(jnp.all(ops.avg_pool(ones, window=3, stride=1, padding=1, count_padding=False) == 1))
    images = ties(2, 7, 7, 3)
    np.testing.assert_allclose(
        ops.avg_pool(images, window=3, stride=2, padding=1),
        nn.avg_pool(images, (3, 3), (2, 2), ((1, 1), (1, 1))),  # pyright: ignore[reportArgumentType]
        rtol=1e-6,
    )


def test_avg_pool_never_counts_what_hangs_over():
    row = jnp.arange(1.0, 7.0).reshape(1, 1, 6, 1)
    for count in (True, False):
        means = ops.avg_pool(row, window=(1, 3), stride=(1, 2), ceil_mode=True, count_padding=count)
        assert means[0, 0, :, 0].tolist() == [2, 4, 5.5]
    # declared padding counts, the overhang does not: torch gives (1 + 2 + 0) / 3, 4, and (6 + 0) / 2
    means = ops.avg_pool(row, window=(1, 3), stride=(1, 3), padding=((0, 0), (1, 1)), ceil_mode=True)
    np.testing.assert_allclose(means[0, 0, :, 0], [1, 4, 3], rtol=1e-6)


def test_l2_pool():
    np.testing.assert_allclose(ops.l2_pool(LECTURE, window=2)[0, :, :, 0], np.sqrt([[63, 133], [18, 26]]), rtol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(ops.l2_pool(x, window=2)))(jnp.zeros((1, 4, 4, 1)))
    assert bool(jnp.all(gradient == 0))


def test_global_and_adaptive_average():
    images = ties(2, 6, 9, 3)
    np.testing.assert_allclose(ops.global_avg_pool(images), jnp.mean(images, (1, 2)), rtol=1e-6)
    np.testing.assert_allclose(
        ops.adaptive_avg_pool(images, output_size=3), ops.avg_pool(images, window=(2, 3)), rtol=1e-6
    )
    np.testing.assert_array_equal(ops.adaptive_avg_pool(images, output_size=(6, 9)), images)
    row = jnp.arange(5.0).reshape(1, 1, 5, 1)
    assert ops.adaptive_avg_pool(row, output_size=(1, 3))[0, 0, :, 0].tolist() == [0.5, 2, 3.5]  # overlapping windows
    assert ops.adaptive_avg_pool(row[:, :, :2], output_size=(1, 4))[0, 0, :, 0].tolist() == [0, 0, 1, 1]


def test_gradients_are_finite_differences():
    with jax.enable_x64(True):
        images = jnp.asarray(np.random.default_rng(1).permutation(2 * 6 * 7 * 2).reshape(2, 6, 7, 2) / 10.0)
        for pool in (
            lambda x: ops.max_pool(x, window=3, stride=2, padding=1),
            lambda x: ops.max_pool(x, window=2),
            lambda x: ops.avg_pool(x, window=3, stride=2, padding=1, count_padding=False),
            lambda x: ops.l2_pool(x, window=2),
        ):
            check_grads(jax.jit(pool), (images,), order=1, modes=['rev'], rtol=1e-6, atol=1e-6, eps=1e-4)


def test_data_format():
    images = ties(2, 6, 7, 3)
    first = jnp.transpose(images, (0, 3, 1, 2))
    for pool in (ops.max_pool, ops.avg_pool, ops.l2_pool):
        ours = pool(first, window=2, data_format='NCHW')
        np.testing.assert_allclose(jnp.transpose(ours, (0, 2, 3, 1)), pool(images, window=2), rtol=1e-6)
    np.testing.assert_allclose(ops.global_avg_pool(first, data_format='NCHW'), ops.global_avg_pool(images), rtol=1e-6)


@pytest.mark.parametrize('pool', [ops.max_pool, ops.avg_pool, ops.l2_pool])
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'window': 5}, 'a 5x5 window is larger than the padded input 4x4; use a smaller window or more padding'),
        ({'window': 0}, 'window is 0; it must be at least 1'),
        ({'window': 2, 'stride': 0}, 'stride is 0; it must be at least 1'),
        ({'window': 2, 'padding': 'full'}, "padding is 'full'"),
    ],
)
def test_mistakes(pool, arguments, message):
    with pytest.raises(ValueError, match=message):
        pool(LECTURE, **arguments)


def test_ranks_and_types():
    with pytest.raises(ValueError, match='images has shape'):
        ops.max_pool(LECTURE[0], window=2)
    with pytest.raises(ValueError, match='images is int32'):
        ops.avg_pool(LECTURE.astype(jnp.int32), window=2)
    with pytest.raises(ValueError, match='output_size is 0'):
        ops.adaptive_avg_pool(LECTURE, output_size=0)
