"""Every operation in the 16-bit types is its float64 twin, rounded; sums and squares of large numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_ops_contract import OPERATIONS, arrays

from cnn_jax import ops
from cnn_jax.layers import max_norm, min_max_norm, unit_norm
from cnn_jax.ops import filters

# What no batch of one image each has: its images belong together.
TOGETHER = {
    'training': lambda x, k: ops.batch_norm_training(x, k[0], k[1])[0],
    'ghosts': lambda x, k: ops.batch_norm_training(x, k[0], k[1], num_ghosts=2)[0],
    'large_mean': lambda x, _: ops.avg_pool(x, window=(8, 32)),
    'large_few': lambda x, _: ops.avg_pool(x[..., :3], window=2),
    'large_squares': lambda x, _: ops.l2_pool(x, window=(8, 32)),
}
STEPS = {'separable': 2}  # operations of two, each of which rounds


def given(name: str, dtype: str):
    """Returns the function, and its arrays in a type."""
    if name in OPERATIONS:
        return OPERATIONS[name][0], arrays(name, dtype)
    rng = np.random.default_rng(0)
    images = 3 + rng.standard_normal((4, 8, 32, 5))
    return TOGETHER[name], tuple(a.astype(dtype) for a in (images, rng.standard_normal((2, 5))))


def outputs_and_gradients(function, weights, *given):
    outputs, pull = jax.vjp(function, *given)
    return outputs, *pull(weights)


@functools.cache
def compiled(function):
    """One for all types: both of 16 bits have one twin."""
    return jax.jit(functools.partial(outputs_and_gradients, function))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
@pytest.mark.parametrize('name', [*OPERATIONS, *TOGETHER])
def test_a_16_bit_type_is_its_float64_twin_rounded(name, dtype):
    """To a unit in the last place, of the number or of the root of the mean square where that is larger."""
    function, inputs = given(name, dtype)
    shape = jax.eval_shape(function, *inputs).shape
    weights = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    ours = compiled(function)(weights, *inputs)
    with jax.enable_x64(True):
        doubles = [np.asarray(array, np.float64) for array in (weights, *inputs)]
        twins = [np.asarray(a) for a in compiled(function)(*doubles)]
    unit = float(jnp.finfo(dtype).eps) * STEPS.get(name, 1)
    for found, twin in zip(ours, twins, strict=True):
        assert found.dtype == jnp.dtype(dtype)
        assert twin.dtype == np.float64
        size = np.maximum(np.abs(twin), np.sqrt(np.mean(np.square(twin))))
        assert np.all(np.abs(np.asarray(found, np.float64) - twin) <= unit * size + np.finfo(np.float16).tiny)


def pooled(pool, images, **window) -> list[float]:
    return np.asarray(jax.jit(functools.partial(pool, **window))(images)).ravel().tolist()


@pytest.mark.parametrize('channels', [1, 8])  # the order with the batch last, and XLA's
def test_means_of_many_numbers_in_16_bits(channels):
    ones = np.ones((1, 32, 32, channels), jnp.bfloat16)
    assert pooled(ops.avg_pool, ones, window=32) == [1] * channels  # added in bfloat16: 0.25
    large = np.full((1, 7, 7, channels), 2000, 'float16')
    assert pooled(ops.avg_pool, large, window=7) == [2000] * channels  # the sum is above float16's 65504
    large = np.full((1, 6, 6, channels), 30000, 'float16')
    assert pooled(ops.avg_pool, large, window=2) == [30000] * 9 * channels
    assert pooled(ops.l2_pool, large, window=2) == [60000] * 9 * channels
    slope = jax.grad(lambda x: jnp.sum(ops.avg_pool(x, window=32, stride=1, padding=16).astype('float32')))
    assert np.asarray(jax.jit(slope)(ones))[0, 16, 16].tolist() == [32 * 32 / 1024] * channels


@pytest.mark.parametrize('ratio', [1e3, 1e4])
@pytest.mark.parametrize('choice', ['auto', 'lax'])
def test_the_variance_of_values_far_from_zero(ratio, choice):
    images = (np.random.default_rng(0).standard_normal((16, 8, 8, 3)) + ratio).astype('float32')
    doubles = np.float64(images)
    variance, mean = doubles.var((0, 1, 2)), doubles.mean((0, 1, 2))
    with ops.implementation(choice):
        outputs, found = jax.jit(ops.batch_norm_training)(images, np.ones(3, 'float32'), np.zeros(3, 'float32'))
    np.testing.assert_allclose(found.variance, variance, rtol=1e-5)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-6)
    # a unit in the last place of the mean, over the deviation
    np.testing.assert_allclose(outputs, (doubles - mean) / np.sqrt(variance + 1e-5), atol=1.2e-7 * ratio)


def test_the_variance_where_platforms_read_the_images_once():
    """What a GPU and a TPU compute, here on a CPU."""
    from cnn_jax.ops import norm

    images = (np.random.default_rng(0).standard_normal((16, 8, 8, 3)) + 1e4).astype('float32')
    found = jax.jit(norm._shifted)(images)
    np.testing.assert_allclose(found.variance, np.float64(images).var((0, 1, 2)), rtol=1e-5)


def test_lengths_of_large_numbers():
    large = np.full((1, 2, 2, 5), 1e20, np.float32)
    for beta in (0.75, 0.6):
        # x / (k + a n x^2)^b, where k does not count; n = 3 neighbours at the ends, 4, 5
        expected = [1e20 / (1e-4 * n * 1e40) ** beta for n in (3, 4, 5, 4, 3)]
        found, slope = both(functools.partial(ops.local_response_norm, beta=beta), np.ones_like(large), large)
        np.testing.assert_allclose(found[0, 0, 0], expected, rtol=1e-5)
        assert np.isfinite(slope).all()
    value, slope = both(lambda x: ops.l2_pool(x, window=2)[0, 0, 0, 0], np.float32(1), large)
    assert value == pytest.approx(2e20)
    np.testing.assert_allclose(slope[0, :, :, 0], np.full((2, 2), 0.5), rtol=1e-6)
    edge = np.zeros((1, 3, 3, 1), np.float32)
    edge[0, :, 2] = 1e20
    assert jax.jit(lambda x: filters.sobel(x, padding='valid')[2])(edge).item() == pytest.approx(4e20)
    images = np.random.default_rng(0).standard_normal((1, 9, 9, 2)).astype('float32')
    contrast = jax.jit(ops.local_contrast_norm)
    np.testing.assert_allclose(contrast(images * np.float32(1e25)), contrast(images), rtol=1e-3, atol=1e-4)


def both(function, weights, *given) -> list[np.ndarray]:
    """The outputs and the gradients of their sum with these weights, of one program."""
    return [np.asarray(a) for a in jax.jit(functools.partial(outputs_and_gradients, function))(weights, *given)]


def test_constraints_of_large_numbers():
    kernel = np.full((4, 2), 1e20, np.float32)
    np.testing.assert_allclose(jax.jit(max_norm(2.0))(kernel), np.full((4, 2), 1.0))  # 2 / sqrt(4)
    largest = np.full((4, 1), 3e38, np.float32)
    np.testing.assert_allclose(jax.jit(unit_norm())(largest), np.full((4, 1), 0.5), rtol=1e-6)
    halfway = jax.jit(min_max_norm(0.0, 2.0, rate=0.5))(kernel)
    np.testing.assert_allclose(halfway, np.full((4, 2), 5e19), rtol=1e-6)
    inside = np.array([[0.1, 0.0], [0.7, 0.0]], np.float32)
    np.testing.assert_array_equal(jax.jit(max_norm(2.0))(inside), inside)


def test_nothing_swallows_a_nan():
    images = np.zeros((1, 2, 2, 1), np.float32)
    images[0, 1, 1, 0] = np.nan
    for function in (
        lambda x: ops.l2_pool(x, window=2),
        lambda x: filters.sobel(x)[2],
        ops.local_contrast_norm,
        lambda x: max_norm(1.0)(x.ravel()),
    ):
        assert np.isnan(jax.jit(function)(images)).any()
