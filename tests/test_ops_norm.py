"""Normalisations against Flax, numpy loops, autodiff and each other."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from cnn_jax import ops


def inputs(*shape: int, seed: int = 0) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns images, a scale and an offset."""
    rng = np.random.default_rng(seed)
    images = rng.normal(1.0, 2.0, shape)
    vectors = rng.normal(1, 0.1, shape[-1]), rng.normal(0, 1, shape[-1])
    images, scale, offset = (jnp.asarray(a, 'float32') for a in (images, *vectors))
    return images, scale, offset


def test_training_is_flax_batch_norm():
    images, scale, offset = inputs(8, 3, 4, 5)
    layer = nn.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-3)
    variables = layer.init(jax.random.key(0), images)
    variables = {**variables, 'params': {'scale': scale, 'bias': offset}}
    theirs, updates = cast(Any, layer.apply(variables, images, mutable='batch_stats'))
    ours, batch = ops.batch_norm_training(images, scale, offset, epsilon=1e-3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    old = ops.Statistics(jnp.zeros(5), jnp.ones(5))
    running = ops.running_statistics(old, batch, momentum=0.9, num_values=96)
    np.testing.assert_allclose(running.mean, updates['batch_stats']['mean'], rtol=1e-5)
    np.testing.assert_allclose(running.variance, updates['batch_stats']['var'], rtol=1e-5)


def test_running_statistics_of_torch_are_unbiased():
    old, batch = ops.Statistics(jnp.zeros(1), jnp.ones(1)), ops.Statistics(jnp.ones(1), jnp.full(1, 4.0))
    running = ops.running_statistics(old, batch, momentum=0.9, num_values=5, unbiased=True)
    assert running.mean[0] == pytest.approx(0.1)
    assert running.variance[0] == pytest.approx(0.9 + 0.1 * 4 * 5 / 4)
    with pytest.raises(ValueError, match='num_values is 1; an unbiased variance needs at least 2'):
        ops.running_statistics(old, batch, num_values=1, unbiased=True)
    with pytest.raises(ValueError, match=r'momentum is 1.1; it must lie in \[0, 1\]'):
        ops.running_statistics(old, batch, momentum=1.1, num_values=2)


@pytest.mark.parametrize('shape', [(4, 3, 3, 2), (6, 3)])
@pytest.mark.parametrize('ghosts', [1, 2])
def test_hand_written_gradient(shape, ghosts):
    with jax.enable_x64(True):
        arguments = tuple(a.astype('float64') for a in inputs(*shape))

        def loss(*a):
            return jnp.sin(ops.batch_norm_training(*a, num_ghosts=ghosts)[0])

        check_grads(jax.jit(loss), arguments, order=1, modes=['rev'], rtol=1e-6, atol=1e-6)

        def gradients(*a):
            return jax.vjp(loss, *a)[1](jnp.ones(shape))

        ours = jax.jit(lambda *a: gradients(*a))(*arguments)
        with ops.implementation('lax'):
            autodiff = jax.jit(lambda *a: gradients(*a))(*arguments)
        for a, b in zip(ours, autodiff, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_statistics_carry_no_gradient():
    images, scale, offset = inputs(4, 3, 3, 2)
    for choice in ops.implementation, None:
        context = choice('lax') if choice else ops.implementation('auto')
        with context:
            gradient = jax.grad(lambda x: jnp.sum(ops.batch_norm_training(x, scale, offset)[1].mean))(images)
        assert bool(jnp.all(gradient == 0))


def test_global_statistics_of_eight_devices_are_those_of_one():
    images, scale, offset = inputs(16, 3, 3, 4)
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))

    def loss(images, scale, offset, axis_name):
        outputs, statistics = ops.batch_norm_training(images, scale, offset, axis_name=axis_name)
        return jnp.sum(jnp.sin(outputs)), (outputs, statistics)

    def step(axis_name, images, scale, offset):
        return jax.grad(loss, (0, 1, 2), has_aux=True)(images, scale, offset, axis_name)

    one = jax.jit(lambda *a: step(None, *a))(images, scale, offset)
    specs = ((P('data'), P(), P()), (P('data'), P()))  # one spec for both statistics
    many = jax.shard_map(
        lambda *a: step('data', *a), mesh=mesh, in_specs=(P('data'), P(), P()), out_specs=specs, check_vma=True
    )
    for a, b in zip(jax.tree.leaves(jax.jit(many)(images, scale, offset)), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_ghosts_are_separate_batches():
    images, scale, offset = inputs(6, 2, 2, 3)
    ours, statistics = ops.batch_norm_training(images, scale, offset, num_ghosts=3)
    parts = [ops.batch_norm_training(images[i : i + 2], scale, offset) for i in (0, 2, 4)]
    np.testing.assert_allclose(ours, jnp.concatenate([p[0] for p in parts]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(statistics.variance, sum(p[1].variance for p in parts) / 3, rtol=1e-5)
    with pytest.raises(ValueError, match='num_ghosts is 4; it must divide the batch of 6'):
        ops.batch_norm_training(images, scale, offset, num_ghosts=4)


def test_one_value_a_channel_has_no_variance():
    scale = jnp.ones(3)
    for shape, ghosts in (((1, 1, 1, 3), 1), ((1, 3), 1), ((4, 1, 1, 3), 4), ((0, 3), 1)):
        with pytest.raises(ValueError, match=r'each statistic is of . value\(s\), and a variance needs at least 2'):
            ops.batch_norm_training(jnp.ones(shape), scale, scale, num_ghosts=ghosts)


def test_evaluation_and_folding():
    images, _, _ = inputs(2, 6, 6, 3)
    kernel, factor, shift = inputs(3, 3, 3, 4)
    bias, mean, variance = jnp.arange(4.0), jnp.array([0.1, 2, -1, 0]), jnp.array([1.0, 0.5, 3, 2])
    plain = ops.conv2d(images, kernel)
    for used in (bias, None):
        maps = plain if used is None else plain + used.reshape(1, 1, 1, 4)
        expected = ops.batch_norm(maps, factor, shift, mean, variance, epsilon=1e-3)
        folded, moved = ops.fold_batch_norm(kernel, used, factor, shift, mean, variance, epsilon=1e-3)
        ours = ops.conv2d(images, folded) + moved.reshape(1, 1, 1, 4)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r'mean has shape \(3,\); give one number for each of 4 channels'):
        ops.batch_norm(plain, factor, shift, mean[:3], variance)


def test_bfloat16_keeps_statistics_in_float32():
    images, scale, offset = inputs(8, 3, 3, 2)
    outputs, statistics = ops.batch_norm_training(images.astype(jnp.bfloat16), scale, offset)
    assert outputs.dtype == jnp.bfloat16
    assert statistics.mean.dtype == statistics.variance.dtype == jnp.float32


@pytest.mark.parametrize('convention', ['paper', 'caffe'])
@pytest.mark.parametrize('beta', [0.75, 0.5])
def test_local_response_norm_against_a_loop(convention, beta):
    images = np.asarray(inputs(1, 2, 2, 7)[0])
    ours = ops.local_response_norm(jnp.asarray(images), size=5, k=1.5, alpha=0.3, beta=beta, convention=convention)
    expected = np.zeros_like(images)
    alpha = 0.3 if convention == 'paper' else 0.3 / 5
    for i in range(7):  # section 3.3: from max(0, i - n/2) to min(N - 1, i + n/2)
        power = np.sum(images[..., max(0, i - 2) : min(6, i + 2) + 1] ** 2, axis=-1)
        expected[..., i] = images[..., i] / (1.5 + alpha * power) ** beta
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [({'size': 4}, 'size is 4; it must be odd'), ({'k': 0}, 'k is 0'), ({'convention': 'tf'}, "convention is 'tf'")],
)
def test_local_response_norm_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.local_response_norm(jnp.ones((1, 2, 2, 7)), **arguments)


def test_local_contrast_norm():
    flat = ops.local_contrast_norm(jnp.full((1, 12, 12, 2), 3.0))
    np.testing.assert_allclose(flat, jnp.zeros_like(flat), atol=1e-2)  # 1e-7 of rounding over 1e-4
    images = inputs(2, 12, 12, 2)[0]
    ours = ops.local_contrast_norm(images, window=5)
    np.testing.assert_allclose(ops.local_contrast_norm(images * 10 + 7, window=5), ours, rtol=1e-3, atol=1e-4)
    assert bool(jnp.all(jnp.isfinite(jax.grad(lambda x: jnp.sum(ops.local_contrast_norm(x)))(jnp.zeros((1, 9, 9, 1))))))
    with pytest.raises(ValueError, match='size is 4; it must be odd'):
        ops.local_contrast_norm(images, window=4)
