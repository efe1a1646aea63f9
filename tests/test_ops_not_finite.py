"""Where a number is not finite: what a direct sum leaves finite stays finite, and nothing hides what is not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_ops_contract import OPERATIONS, arrays

from cnn_jax import ops
from cnn_jax.ops.gpu import blocks
from cnn_jax.ops.gpu import max_pool as gpu_max_pool
from cnn_jax.ops.windows import Geometry, plain

BATCH = 2
MORE = {
    'winograd': (lambda x, k: ops.conv2d(x, k / 32, padding=1), (12, 12, 64), (3, 3, 64, 64)),
    'large_groups': (lambda x, k: ops.conv2d(x, k, padding=1, groups=8), (6, 6, 32), (3, 3, 4, 32)),
    'strided_groups': (lambda x, k: ops.conv2d(x, k, padding=1, stride=2, groups=2), (7, 7, 64), (5, 5, 32, 8)),
    'rows_at_once': (lambda x, k: ops.conv2d(x, k, padding=((2, 1), (0, 2))), (9, 8, 3), (5, 5, 3, 6)),
}
ALL = OPERATIONS | MORE


def inputs(name: str):
    if name not in MORE:
        images, weights = arrays(name)
        return images[:BATCH], weights
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal(s), 'float32') for s in ((BATCH, *MORE[name][1]), MORE[name][2]))


@functools.cache
def compiled(name: str, choice: str):
    """Returns the outputs and gradients, as a function of their weights and the inputs."""

    def everything(weights, *given):
        outputs, pull = jax.vjp(ALL[name][0], *given)
        return outputs, *pull(weights)

    def run(*given):
        with ops.implementation(choice):
            return jitted(*given)

    jitted = jax.jit(everything)
    return run


def with_one(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    """A copy with another value at one place."""
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('name', ALL)
def test_what_a_direct_sum_leaves_finite_is_finite(name, value):
    images, kernel = map(np.asarray, inputs(name))
    shape = jax.eval_shape(ALL[name][0], images, kernel).shape
    weights = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    middle, corner = (tuple(n // 2 for n in images.shape[1:]), tuple(n - 1 for n in images.shape[1:]))
    for bad_images, bad_weights in (
        (with_one(images, (0, *middle), value), weights),
        (with_one(images, (0, *corner), value), weights),
        (images, with_one(weights, (0, *(n // 2 for n in shape[1:])), value)),
    ):
        ours, direct = (
            jax.device_get(compiled(name, choice)(bad_weights, bad_images, kernel)) for choice in ('auto', 'lax')
        )
        np.testing.assert_array_equal(np.isfinite(ours[0]), np.isfinite(direct[0]))
        for found, expected in zip(ours, direct, strict=True):
            where = np.isfinite(expected)  # XLA's gradient of a kernel with groups itself reaches other groups
            assert np.isfinite(found[where]).all()
            if not name.startswith('max_pool'):  # see the test below
                np.testing.assert_allclose(found[where], expected[where], rtol=1e-4, atol=1e-4)


def test_a_group_keeps_to_itself():
    """288 outputs were NaN of a pixel that 36 see: 9 windows, 4 filters of its group."""
    images, kernel = jnp.ones((1, 6, 6, 32)).at[0, 2, 3, 5].set(jnp.nan), jnp.ones((3, 3, 4, 32))
    assert jnp.isnan(jax.jit(lambda x, k: ops.conv2d(x, k, padding=1, groups=8))(images, kernel)).sum() == 36


@pytest.mark.parametrize('name', ['winograd', 'large_groups'])
def test_a_conditional_stays_one_under_vmap(name):
    """As a selection it would compute XLA's slow form each time."""
    images, kernel = inputs(name)
    one = jax.make_jaxpr(ALL[name][0])(images, kernel)
    many = jax.make_jaxpr(jax.vmap(ALL[name][0]))(images[None], kernel[None])
    assert str(one).count('cond[') == str(many).count('cond[') > 0


def test_a_kernel_that_hangs_over_on_a_gpu_is_guarded():
    """Its form by itself does spread a NaN; the program for a GPU has XLA's beside it."""
    geometry = Geometry((2, 2), ((3, 3), (3, 3)), (1, 1), 1)
    rng = np.random.default_rng(0)
    images, kernel = (jnp.asarray(rng.standard_normal(s), 'bfloat16') for s in ((1, 16, 16, 3), (7, 7, 3, 8)))
    bad = images.at[0, 8, 8, 0].set(jnp.nan)
    spread = jnp.isnan(blocks.forward(bad, kernel, geometry)).sum()
    assert spread > jnp.isnan(plain(bad, kernel, geometry)).sum()
    traced = jax.jit(functools.partial(ops.conv2d, stride=2, padding=3)).trace(images, kernel)
    assert traced.lower(lowering_platforms=('cuda',)).as_text().count('stablehlo.convolution') == 2


@pytest.mark.parametrize(('window', 'stride', 'channels'), [(3, 2, 8), (3, 1, 8), (2, 2, 3), (2, 2, 9), (5, 3, 4)])
def test_the_gradient_at_a_nan_goes_where_that_of_xla_does(window, stride, channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 3, (4, 11, 11, channels)).astype('float32')
    images[rng.random(images.shape) < 0.2] = np.nan
    images[rng.random(images.shape) < 0.1] = -np.inf
    pool = functools.partial(ops.max_pool, window=window, stride=stride)
    outputs = jax.eval_shape(pool, images)
    weights = jnp.asarray(rng.integers(1, 9, outputs.shape), 'float32')
    run = jax.jit(lambda x: jax.vjp(pool, x)[1](weights)[0])
    with ops.implementation('lax'):
        expected = run(images)
    np.testing.assert_array_equal(run(images), expected)
    shapes = {'window': (window, window), 'stride': (stride, stride), 'pads': ((0, 0), (0, 0))}
    _, place = gpu_max_pool.max_pool_with_place(jnp.asarray(images), **shapes)
    found = gpu_max_pool.images_gradient(place, weights, images=images.shape, **shapes)
    np.testing.assert_array_equal(found, expected)
