"""The forms with the batch last: exact in float64, ties and NaN of the pools, and where they are chosen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.ops.cpu import batch_minor, batch_minor_pool, choice
from cnn_jax.ops.windows import Geometry, output_sizes, plain

FLOAT32 = jnp.dtype('float32')
INSIDE = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
# (images, (height, width) of the kernel, filters, pads): LeNet's, small; odd sizes, every padding, rows left over.
CASES = [
    ((3, 28, 28, 1), (5, 5), 6, ((2, 2), (2, 2))),
    ((3, 14, 14, 6), (5, 5), 16, ((0, 0), (0, 0))),
    ((2, 13, 17, 3), (3, 5), 4, ((1, 2), (0, 3))),
    ((2, 9, 7, 1), (2, 3), 5, ((0, 4), (1, 0))),
    ((1, 11, 12, 8), (3, 3), 1, ((1, 1), (1, 1))),
    ((2, 5, 5, 2), (5, 5), 3, ((0, 0), (0, 0))),
]
# The last two have a row or a column that is in no window.
MAPS = [(2, 28, 28, 6), (3, 4, 6, 1), (2, 7, 10, 3), (2, 2, 5, 2)]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(choice, 'NUM_CORES', 2)


def drawn(shape, dtype=None):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), dtype)


@pytest.mark.parametrize(('images_shape', 'window', 'filters', 'pads'), CASES)
def test_is_exact_in_float64(images_shape, window, filters, pads):
    geometry, kernel_shape = INSIDE._replace(pads=pads), (*window, images_shape[3], filters)
    with jax.enable_x64(True):
        images, kernel = drawn(images_shape), drawn(kernel_shape)
        weights = drawn((images_shape[0], *output_sizes(images_shape, kernel_shape, geometry), filters))
        outputs, pull = jax.vjp(functools.partial(plain, geometry=geometry), images, kernel)
        ours = (
            jax.jit(lambda x, k: batch_minor.forward(x, k, geometry))(images, kernel),
            jax.jit(lambda g, k: batch_minor.images_gradient(g, k, images_shape, geometry))(weights, kernel),
            jax.jit(lambda x, g, k: batch_minor.kernel_gradient(x, g, kernel_shape, geometry, scalar=k[0, 0, 0, 0]))(
                images, weights, kernel
            ),
        )
        for a, b in zip(ours, (outputs, *pull(weights)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(batch_minor.bias_gradient(weights), weights.sum((0, 1, 2)), rtol=1e-12)


def net(images, first, bias, second):
    """LeNet's start, which moves its images once: sum(sin(outputs)) has second derivatives that are not zero."""
    maps = jnp.tanh(ops.conv2d(images, first, padding=2, bias=bias))
    return jnp.sum(jnp.sin(ops.conv2d(ops.max_pool(maps, window=2) + ops.avg_pool(maps, window=2), second)))


def test_first_and_second_derivatives_of_a_net():
    with jax.enable_x64(True):
        given = [drawn(shape) for shape in ((2, 12, 14, 1), (5, 5, 1, 6), (6,), (5, 5, 6, 16))]
        first = jax.jit(jax.grad(net, (0, 1, 2, 3)))
        second = jax.jit(jax.grad(lambda *a: sum(jnp.sum(g**2) for g in first(*a)), (0, 1, 2, 3)))
        ours = first(*given), second(*given)
        with ops.implementation('lax'):
            theirs = first(*given), second(*given)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_an_image_gives_the_same_alone_and_among_others():
    images, kernel = drawn((3, 14, 14, 6), 'float32'), drawn((5, 5, 6, 16), 'float32')
    convolve = jax.jit(lambda images: batch_minor.forward(images, kernel, INSIDE))
    together, alone = convolve(images), convolve(images[2:])
    assert jnp.abs(together[2:] - alone).max() < 1e-6 * jnp.abs(together).max()


def pooled(images, pool):
    outputs, pull = jax.vjp(functools.partial(pool, window=2), images)
    return outputs, pull(jnp.cos(jnp.arange(outputs.size, dtype=outputs.dtype)).reshape(outputs.shape))[0]


@pytest.mark.parametrize('shape', MAPS)
@pytest.mark.parametrize('pool', [ops.max_pool, ops.avg_pool])
def test_pools_equal_lax_ties_included(shape, pool):
    assert choice.is_batch_minor_pool(shape, (2, 2), (2, 2), ((0, 0), (0, 0)))
    images = jnp.asarray(np.random.default_rng(0).integers(0, 3, shape), 'float32')
    function = jax.jit(functools.partial(pooled, pool=pool))
    ours = function(images)
    with ops.implementation('lax'):
        theirs = function(images)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('place', [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_nan_is_not_passed_over(place):
    images = jnp.zeros((1, 2, 2, 1)).at[0, *place, 0].set(jnp.nan)
    assert jnp.isnan(batch_minor_pool.max_pool(images)).all()
    gradient = batch_minor_pool.max_pool_gradient(images, jnp.ones((1, 1, 1, 1)))
    assert gradient.sum() == 1


@pytest.mark.parametrize(
    ('images', 'kernel', 'better'),
    [
        ((28, 28, 1), (5, 5, 1, 6), True),
        ((14, 14, 6), (5, 5, 6, 16), True),
        ((14, 14, 4), (3, 3, 4, 6), False),
        ((32, 32, 3), (5, 5, 3, 6), True),
        ((28, 28, 1), (3, 3, 1, 6), False),
        ((28, 28, 1), (7, 7, 1, 6), False),
        ((32, 32, 1), (5, 5, 1, 12), False),
        ((32, 32, 8), (3, 3, 8, 8), False),
        ((64, 64, 1), (5, 5, 1, 6), False),
        ((14, 14, 6), (5, 5, 6, 32), False),
        ((14, 14, 16), (5, 5, 16, 16), False),
        ((5, 5, 6), (5, 5, 6, 16), False),  # one window
    ],
)
@pytest.mark.parametrize('batch', [1, 128])
def test_is_chosen_where_it_is_faster_whatever_the_batch(batch, images, kernel, better, monkeypatch):
    images = (batch, *images)
    assert (choice.choose(images, kernel, INSIDE, FLOAT32) == choice.BATCH_MINOR) == better
    for other in ({'stride': (2, 1)}, {'dilation': (2, 2)}):
        assert choice.choose(images, kernel, INSIDE._replace(**other), FLOAT32) != choice.BATCH_MINOR
    monkeypatch.setattr(choice, 'NUM_CORES', 64)
    assert choice.choose(images, kernel, INSIDE, FLOAT32) != choice.BATCH_MINOR


@pytest.mark.parametrize(
    ('shape', 'arguments'),
    [
        ((2, 28, 28, 8), {'window': 2}),
        ((2, 64, 64, 6), {'window': 2}),
        ((2, 28, 28, 6), {'window': 3, 'stride': 2}),
        ((2, 28, 28, 6), {'window': 2, 'stride': 1}),
        ((2, 28, 28, 6), {'window': 2, 'padding': 1}),
    ],
)
@pytest.mark.parametrize('pool', [ops.max_pool, ops.avg_pool])
def test_other_pools_keep_their_order(shape, arguments, pool):
    assert (0, 3, 2, 1) not in orders(functools.partial(pool, **arguments), shape)
    assert (1, 3, 2, 0) not in orders(functools.partial(pool, **arguments), shape)


@pytest.mark.parametrize('pool', [ops.max_pool, ops.avg_pool])
def test_a_pool_changes_its_order_on_a_cpu_alone(pool):
    function = functools.partial(pool, window=2)
    assert (1, 3, 2, 0) in orders(function, (2, 28, 28, 6))
    for platform in ('cuda', 'tpu'):
        assert (1, 3, 2, 0) not in orders(function, (2, 28, 28, 6), platform)


def orders(function, shape, platform='cpu'):
    """The permutations of all transposes in the program of a function and its gradient."""
    traced = jax.jit(lambda x: jax.vjp(function, x)[1](function(x))).trace(jax.ShapeDtypeStruct(shape, 'float32'))
    lines = traced.lower(lowering_platforms=(platform,)).as_text().splitlines()
    found = [line.split('dims = [')[1].split(']')[0] for line in lines if 'stablehlo.transpose' in line]
    return {tuple(map(int, dims.split(','))) for dims in found}
