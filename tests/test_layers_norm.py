"""BatchNorm's modes against numpy and against one device, LocalResponseNorm against a loop."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false
# (Flax types the result of apply as Any or a pair, and numpy arrays stand in for JAX arrays.)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from cnn_jax.layers import BatchNorm, LocalResponseNorm

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(3.0, 2.0, (8, 3, 2, 4)).astype(np.float32)
TARGETS = RNG.normal(size=IMAGES.shape).astype(np.float32)
PARAMS = {'scale': jnp.float32([1.5, 0.5, 1, 2]), 'bias': jnp.float32([0, 1, -1, 0.5])}
STATS = {'mean': jnp.float32([0.1, 0.2, 0.3, 0.4]), 'var': jnp.float32([1, 2, 3, 4])}


def normalize(images, mean, var):
    return (images - mean) / np.sqrt(var + 1e-5) * np.asarray(PARAMS['scale']) + np.asarray(PARAMS['bias'])


def statistics(images):
    images = images.astype(np.float64)
    return images.mean((0, 1, 2)), images.var((0, 1, 2))


def train(layer, images=IMAGES):
    variables = {'params': PARAMS, 'batch_stats': STATS}
    outputs, changed = layer.apply(variables, images, train=True, mutable=['batch_stats'])
    return outputs, changed['batch_stats']


def test_training_normalises_with_the_batch_and_remembers_it():
    outputs, stats = train(BatchNorm())
    mean, var = statistics(IMAGES)
    np.testing.assert_allclose(outputs, normalize(IMAGES, mean, var), atol=1e-5)
    np.testing.assert_allclose(stats['mean'], 0.9 * np.asarray(STATS['mean']) + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(stats['var'], 0.9 * np.asarray(STATS['var']) + 0.1 * var, rtol=1e-5)


def test_unbiased_running_variance_is_torchs():
    _, stats = train(BatchNorm(unbiased=True, momentum=0.7))
    var = statistics(IMAGES)[1] * 48 / 47  # 8 * 3 * 2 values a channel
    np.testing.assert_allclose(stats['var'], 0.7 * np.asarray(STATS['var']) + 0.3 * var, rtol=1e-5)


def test_evaluation_and_frozen_use_the_running_averages():
    expected = normalize(IMAGES, np.asarray(STATS['mean']), np.asarray(STATS['var']))
    variables = {'params': PARAMS, 'batch_stats': STATS}
    np.testing.assert_allclose(BatchNorm().apply(variables, IMAGES, train=False), expected, atol=1e-5)
    outputs, stats = train(BatchNorm(mode='frozen'))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    for name, value in STATS.items():
        np.testing.assert_array_equal(stats[name], value)


def test_ghost_batches_are_normalised_one_by_one():
    outputs, stats = train(BatchNorm(mode='ghost(2)'))
    groups = IMAGES.reshape(4, 2, 3, 2, 4)
    moments = [statistics(group) for group in groups]
    expected = np.concatenate([normalize(group, *moment) for group, moment in zip(groups, moments, strict=True)])
    np.testing.assert_allclose(outputs, expected, atol=2e-5)
    mean, var = np.mean([moment[0] for moment in moments], 0), np.mean([moment[1] for moment in moments], 0)
    np.testing.assert_allclose(stats['mean'], 0.9 * np.asarray(STATS['mean']) + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(stats['var'], 0.9 * np.asarray(STATS['var']) + 0.1 * var, rtol=1e-5)


def loss_and_gradient(layer, params, images, targets):
    def loss(params, images):
        variables = {'params': params, 'batch_stats': STATS}
        outputs, changed = layer.apply(variables, images, train=True, mutable=['batch_stats'])
        return jnp.mean((outputs - targets) ** 2), (outputs, changed['batch_stats'])

    return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, images)


def run_on_devices(layer, count):
    def step(params, images, targets):
        params = jax.lax.pcast(params, 'data', to='varying')
        (gradient, by_image), (outputs, stats) = loss_and_gradient(layer, params, images, targets)
        return jax.lax.pmean((gradient, stats), 'data'), (outputs, by_image)

    mesh = Mesh(np.array(jax.devices()[:count]), ('data',))
    whole, split = PartitionSpec(), PartitionSpec('data')
    mapped = jax.shard_map(
        step, mesh=mesh, in_specs=(whole, split, split), out_specs=((whole, whole), (split, split)), check_vma=True
    )
    return jax.jit(mapped)(PARAMS, IMAGES, TARGETS)


@pytest.mark.parametrize('unbiased', [False, True], ids=['biased', 'unbiased'])
def test_global_mode_on_four_devices_is_one_device(unbiased):
    layer = BatchNorm(unbiased=unbiased)
    (gradient, stats), (outputs, by_image) = run_on_devices(layer, 4)
    (expected, expected_by_image), (expected_outputs, expected_stats) = loss_and_gradient(
        layer, PARAMS, IMAGES, TARGETS
    )
    np.testing.assert_allclose(outputs, expected_outputs, atol=1e-5)
    np.testing.assert_allclose(by_image / 4, expected_by_image, atol=1e-6)  # of the sum of four means
    for got, want in ((gradient, expected), (stats, expected_stats)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, want)


def test_per_device_mode_is_a_ghost_batch_per_device():
    (gradient, stats), (outputs, _) = run_on_devices(BatchNorm(mode='per_device'), 4)
    (expected, _), (expected_outputs, expected_stats) = loss_and_gradient(
        BatchNorm(mode='ghost(2)'), PARAMS, IMAGES, TARGETS
    )
    np.testing.assert_allclose(outputs, expected_outputs, atol=1e-5)
    for got, want in ((gradient, expected), (stats, expected_stats)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, want)


def test_statistics_are_float32_where_the_images_are_bfloat16():
    outputs, stats = train(BatchNorm(), jnp.bfloat16(IMAGES))
    assert outputs.dtype == jnp.bfloat16
    assert stats['mean'].dtype == jnp.float32
    mean = statistics(np.asarray(jnp.bfloat16(IMAGES), np.float64))[0]
    np.testing.assert_allclose(stats['mean'], 0.9 * np.asarray(STATS['mean']) + 0.1 * mean, rtol=1e-5)


def test_features_without_height_and_width():
    inputs = IMAGES.reshape(-1, 4)
    outputs, _ = train(BatchNorm(activation=jax.nn.relu), inputs)
    np.testing.assert_allclose(outputs, np.maximum(normalize(inputs, *statistics(IMAGES)), 0), atol=1e-5)


def test_initialisation_leaves_the_running_averages_at_0_and_1():
    variables = jax.jit(lambda: BatchNorm().init(jax.random.key(0), IMAGES, train=True))()
    np.testing.assert_array_equal(variables['batch_stats']['mean'], np.zeros(4))
    np.testing.assert_array_equal(variables['batch_stats']['var'], np.ones(4))


def test_batch_norm_errors():
    with pytest.raises(ValueError, match=r"mode='ghost\(0\)' given; it is 'global', 'per_device', 'ghost\(n\)'"):
        train(BatchNorm(mode='ghost(0)'))
    with pytest.raises(ValueError, match=r"mode='ghost\(3\)', 8 images on a device; n must divide it"):
        train(BatchNorm(mode='ghost(3)'))


def test_one_value_a_channel_is_an_error_in_training():
    for layer, images in (
        (BatchNorm(name='norm1'), IMAGES[:1, :1, :1]),
        (BatchNorm(name='norm1', mode='ghost(1)'), IMAGES[:, :1, :1]),
        (BatchNorm(name='norm1'), IMAGES[:1, 0, 0]),
    ):
        with pytest.raises(
            ValueError, match=r'norm1: mode=.* 1 value\(s\) a channel in training, and a variance needs 2'
        ):
            train(layer, images)
        variables = layer.init(jax.random.key(0), images, train=True)
        np.testing.assert_array_equal(variables['batch_stats']['var'], np.ones(4))
        assert np.isfinite(layer.apply(variables, images, train=False)).all()
    train(BatchNorm(mode='frozen'), IMAGES[:1, :1, :1])


def test_one_value_on_each_of_several_devices_is_enough_for_the_global_mode():
    def step(images, mode):
        variables = {'params': PARAMS, 'batch_stats': STATS}
        return BatchNorm(mode=mode).apply(variables, images, train=True, mutable=['batch_stats'])[0]

    mesh, split = Mesh(np.array(jax.devices()[:8]), ('data',)), PartitionSpec('data')

    def run(mode):
        mapped = jax.shard_map(lambda x: step(x, mode), mesh=mesh, in_specs=split, out_specs=split, check_vma=True)
        return jax.jit(mapped)(images)

    images = IMAGES[:, :1, :1]
    np.testing.assert_allclose(run('global'), normalize(images, *statistics(images)), atol=1e-5)
    with pytest.raises(ValueError, match=r"mode='per_device'.* 1 value\(s\) a channel"):
        run('per_device')


def test_running_statistics_keep_their_type():
    with jax.enable_x64(True):
        _, stats = train(BatchNorm(), jnp.float64(IMAGES))
    assert stats['mean'].dtype == stats['var'].dtype == np.float32


@pytest.mark.parametrize('divide', [False, True], ids=['paper', 'torch'])
def test_local_response_norm_is_the_papers_loop(divide):
    images = RNG.normal(0, 10, (1, 2, 2, 7))
    layer = LocalResponseNorm(size=5, alpha=0.1, beta=0.6, k=1.5, divide_by_size=divide)
    expected = np.empty_like(images)
    for i in range(7):
        neighbours = images[..., max(0, i - 2) : i + 3]
        alpha = 0.1 / 5 if divide else 0.1
        expected[..., i] = images[..., i] / (1.5 + alpha * (neighbours**2).sum(-1)) ** 0.6
    np.testing.assert_allclose(layer.apply({}, jnp.float32(images)), expected, rtol=1e-5)


def test_local_response_norm_refuses_an_even_size():
    with pytest.raises(ValueError, match='size is 4; it must be odd'):
        LocalResponseNorm(size=4).apply({}, jnp.ones((1, 2, 2, 3)))
