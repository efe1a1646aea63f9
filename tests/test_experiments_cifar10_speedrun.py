"""The parts of airbench against their definitions: whitening, alternating flips, lookahead, the schedule."""

# pyright: reportArgumentType=false
# (What a schedule returns.)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import experiment
from cnn_jax.models.airbench import AirBench, Whiten, dirac

module = experiment.module('cifar10_speedrun')


def test_whitened_patches_are_independent():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((8, 16, 16, 3)).cumsum(1).cumsum(2).astype(np.float32) / 10
    variables = {'params': {'bias': jnp.zeros(24)}, 'batch_stats': {'kernel': jnp.zeros((2, 2, 3, 24))}}
    apply = jax.jit(lambda variables: Whiten().apply(variables, images, train=True, mutable=['batch_stats']))
    outputs, changed = apply(variables)
    half = np.asarray(outputs)[..., :12].reshape(-1, 12)
    moments = half.T @ half / len(half)
    values = np.diag(moments)
    np.testing.assert_allclose(moments - np.diag(values), 0, atol=1e-3)
    np.testing.assert_allclose(outputs[..., 12:], -outputs[..., :12], atol=1e-5)
    patches = np.concatenate([images[:, r : r - 1 or None, c : c - 1 or None] for r in (0, 1) for c in (0, 1)], -1)
    exact = np.linalg.eigvalsh(patches.reshape(-1, 12).T @ patches.reshape(-1, 12) / patches[..., 0].size)[::-1]
    np.testing.assert_allclose(values, exact / (exact + 5e-4), rtol=1e-3)
    again, kept = apply({**variables, **changed})
    np.testing.assert_array_equal(kept['batch_stats']['kernel'], changed['batch_stats']['kernel'])
    np.testing.assert_array_equal(again, outputs)


def test_dirac_hands_on():
    kernel = dirac(jax.random.key(0), (3, 3, 4, 6))
    assert kernel.shape == (3, 3, 4, 6)
    np.testing.assert_array_equal(kernel[1, 1, :, :4], np.eye(4))
    assert float(jnp.abs(kernel[..., :4]).sum()) == 4
    assert 0 < float(jnp.abs(kernel[..., 4:]).max()) <= 1 / 6


def test_parameters_and_views():
    shapes = jax.eval_shape(lambda: AirBench().init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes['params'])) == 1_972_504
    assert shapes['batch_stats']['whiten']['kernel'].size == 288
    rng = np.random.default_rng(0)
    small = AirBench(filters=(4, 4), views=6, num_classes=3)
    shapes = jax.eval_shape(lambda: small.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))
    variables = jax.tree.map(lambda leaf: rng.uniform(0.2, 1, leaf.shape).astype(np.float32), shapes)
    images = rng.standard_normal((2, 32, 32, 3)).astype(np.float32)
    alone = jax.jit(lambda images: small.clone(views=1).apply(variables, images, train=False))
    moved = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='reflect')
    views = [images, moved[:, :-2, :-2], moved[:, 2:, 2:]]
    expected = sum(
        weight * (alone(view) + alone(view[:, :, ::-1])) / 2
        for weight, view in zip((0.5, 0.25, 0.25), views, strict=True)
    )
    scores = jax.jit(lambda images: small.apply(variables, images, train=False))(images)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_an_image_is_mirrored_in_every_second_epoch():
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), np.uint8))
    flip = jax.jit(module.alternate_flip)

    def shown(epoch):
        batch = {'image': images, 'index': jnp.arange(64), 'epoch': jnp.full(64, epoch, jnp.int32)}
        return np.asarray(flip(batch, jax.random.key(0)))

    mirrored = [(shown(epoch) == np.asarray(images[:, :, ::-1])).all((1, 2, 3)) for epoch in range(3)]
    assert 16 < mirrored[0].sum() < 48
    np.testing.assert_array_equal(mirrored[1], ~mirrored[0])
    np.testing.assert_array_equal(mirrored[2], mirrored[0])


def test_lookahead_is_the_papers():
    """Weights that rise by 1 a step, against the loop of airbench94.py."""
    look = module.lookahead(12)
    params = {'w': jnp.zeros(())}
    state = look.init(params)
    update = jax.jit(look.update)
    fast = slow = 0.0
    for step in range(1, 13):
        updates, state = update({'w': jnp.ones(())}, state, params)
        params = {'w': params['w'] + updates['w']}
        fast += 1
        if step % 5 == 0:
            decay = 0.95**5 * (step / 12) ** 3
            fast = slow = decay * slow + (1 - decay) * fast
        if step == 12:
            fast = slow
        assert float(params['w']) == pytest.approx(fast, rel=1e-5)


def test_schedule_and_groups():
    schedule = module.triangle(2.0, 100)
    assert [float(schedule(step)) for step in (0, 23, 100)] == pytest.approx([0.4, 2.0, 0.14])
    names = {'whiten': {'bias': 0}, 'norm1_1': {'scale': 0, 'bias': 0}, 'conv1_1': {'kernel': 0}}
    assert module.group_of(names) == {
        'whiten': {'bias': 'whiten'},
        'norm1_1': {'scale': 'frozen', 'bias': 'bias'},
        'conv1_1': {'kernel': 'rest'},
    }
