"""The arithmetic of optimizers and schedules, step by step in NumPy."""

# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import optim
from cnn_jax.errors import CnnJaxError

PARAMS = {
    'conv1': {'kernel': jnp.array([1.0, -2.0]), 'bias': jnp.array([0.5])},
    'stage1_block1': {'norm': {'scale': jnp.array([1.5]), 'bias': jnp.array([0.1])}, 'kernel': jnp.array([3.0])},
    'fc': {'kernel': jnp.array([2.0]), 'bias': jnp.array([-1.0])},
}
GRADIENTS = [jax.tree.map(lambda leaf, number=number: jnp.cos(3 * leaf + number), PARAMS) for number in range(6)]


def run(optimizer, params=PARAMS):
    """The parameters after each of the six gradients."""
    state, reached = optimizer.init(params), []
    for gradient in GRADIENTS:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        reached.append(params)
    return reached


def halving(step):
    return 0.1 * 0.5 ** (step // 3)


def by_hand(leaf, gradients, *, decay: float, inside: bool) -> list[np.ndarray]:
    """Momentum 0.9 with the rate inside the velocity (Caffe) or outside (torch)."""
    weight, velocity, reached = np.asarray(leaf, np.float64), 0.0, []
    for step, gradient in enumerate(gradients):
        rate, slope = halving(step), np.asarray(gradient, np.float64) + decay * weight
        if inside:
            velocity = 0.9 * velocity - rate * slope
            weight = weight + velocity
        else:
            velocity = 0.9 * velocity + slope
            weight = weight - rate * velocity
        reached.append(weight)
    return reached


@pytest.mark.parametrize('inside', [True, False])
def test_both_forms_of_momentum(inside):
    make = optim.caffe_sgd if inside else optim.torch_sgd
    reached = run(make(halving, momentum=0.9, weight_decay=0.05, mask=optim.kernels))
    for decay, module, name in ((0.05, 'conv1', 'kernel'), (0.0, 'conv1', 'bias'), (0.05, 'fc', 'kernel')):
        gradients = [gradient[module][name] for gradient in GRADIENTS]
        expected = by_hand(PARAMS[module][name], gradients, decay=decay, inside=inside)
        for params, weight in zip(reached, expected, strict=True):
            np.testing.assert_allclose(params[module][name], weight, rtol=1e-5)


def test_the_forms_differ_after_a_cut_only():
    caffe, torch = run(optim.caffe_sgd(halving)), run(optim.torch_sgd(halving))
    for step in range(3):
        np.testing.assert_allclose(caffe[step]['fc']['kernel'], torch[step]['fc']['kernel'], rtol=1e-6)
    assert abs(caffe[3]['fc']['kernel'] - torch[3]['fc']['kernel'])[0] > 1e-3


def test_masks_by_name():
    flat = {
        optim.name_of(path): chosen
        for path, chosen in jax.tree_util.tree_leaves_with_path(optim.named('*/bias', 'fc')(PARAMS))
    }
    assert {name for name, chosen in flat.items() if chosen} == {
        *('conv1/bias', 'stage1_block1/norm/bias', 'fc/kernel', 'fc/bias'),
    }
    others = jax.tree.map(
        lambda one, other: one != other, optim.named('*/bias')(PARAMS), optim.named('*/bias', but=True)(PARAMS)
    )
    assert all(jax.tree.leaves(others))
    assert sum(jax.tree.leaves(optim.kernels(PARAMS))) == 3
    assert optim.all_but_norms(PARAMS)['stage1_block1'] == {'norm': {'scale': False, 'bias': False}, 'kernel': True}
    assert optim.all_but_norms(PARAMS)['fc'] == {'kernel': True, 'bias': True}


@pytest.mark.parametrize(
    ('pattern', 'name', 'whether'),
    [
        ('conv1', 'conv1/kernel', True),
        ('conv1', 'conv10/kernel', False),
        ('conv1', 'stage1_block1/conv1/kernel', False),
        ('stage1_*', 'stage1_block1/conv1/kernel', True),
        ('stage1_block1/conv1', 'stage1_block1/conv1/kernel', True),
        ('conv[1-3]', 'conv2/bias', True),
        ('conv[1-3]', 'conv4/bias', False),
        ('*/bias', 'stage1_block1/norm/bias', True),
        ('fc/bias', 'fc/kernel', False),
        ('*', 'fc/kernel', True),
        ('Conv1', 'conv1/kernel', False),
    ],
)
def test_a_pattern_is_a_layer_a_parameter_or_a_glob(pattern, name, whether):
    assert optim.fits(pattern, name) is whether


def test_a_pattern_that_fits_nothing_is_a_mistake_that_names_the_close_ones():
    sgd = optax.sgd(0.1)
    for act in (optim.named('conv9'), optim.freeze(sgd, 'conv9').init, optim.scale_by_name({'conv9': 2.0}).init):
        with pytest.raises(
            CnnJaxError,
            match=r"^no layer or parameter fits 'conv9'; there are conv1, fc, stage1_block1, stage1_block1/norm$",
        ):
            act(PARAMS)


def test_learning_rates_by_name():
    plain = run(optax.sgd(0.1))[0]
    scaled = run(optax.chain(optax.sgd(0.1), optim.scale_by_name({'fc/bias': 5.0, '*/bias': 2.0})))[0]

    def ratio(module, name):
        moved = scaled[module][name] - PARAMS[module][name]
        return float((moved / (plain[module][name] - PARAMS[module][name]))[0])

    assert [ratio('fc', 'bias'), ratio('conv1', 'bias'), ratio('fc', 'kernel')] == pytest.approx([5, 2, 1], rel=1e-4)


def test_frozen_parameters_stay_and_the_others_train_as_if_alone():
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optim.torch_sgd(0.1, weight_decay=0.1))
    frozen = run(optim.freeze(optimizer, 'conv1', 'stage1_*'))[-1]
    for name in ('conv1', 'stage1_block1'):
        jax.tree.map(np.testing.assert_array_equal, frozen[name], PARAMS[name])
    alone, state = {'fc': PARAMS['fc']}, optimizer.init({'fc': PARAMS['fc']})
    for gradient in GRADIENTS:
        updates, state = optimizer.update({'fc': gradient['fc']}, state, alone)
        alone = optax.apply_updates(alone, updates)
    jax.tree.map(np.testing.assert_array_equal, frozen['fc'], alone['fc'])
    momentum = jax.tree.leaves(optim.freeze(optimizer, 'conv1', 'stage1_*').init(PARAMS))
    assert len(momentum) == 2, 'no momentum is kept for what is frozen'


def test_layer_decay():
    factors = optim.layer_decay(('conv1', 'stage1_block1', 'fc'), 0.5)
    assert list(factors.values()) == [0.25, 0.5, 1.0]
    steps, _ = optim.scale_by_name(factors).update(jax.tree.map(jnp.ones_like, PARAMS), optax.EmptyState())
    assert float(steps['conv1']['kernel'][0]) == 0.25
    assert float(steps['stage1_block1']['norm']['scale'][0]) == 0.5
    assert float(steps['fc']['bias'][0]) == 1.0


def values(schedule, steps):
    return [float(schedule(jnp.asarray(step))) for step in steps]


def test_schedules():
    steps = optim.step_decay(0.4, boundaries=(30, 60))
    assert values(steps, (0, 29, 30, 59, 60, 1000)) == pytest.approx([0.4, 0.4, 0.04, 0.04, 0.004, 0.004])
    warm = optim.with_warmup(steps, num_steps=10, start=0.1)
    assert values(warm, (0, 5, 10, 30)) == pytest.approx([0.04, 0.22, 0.4, 0.04])
    assert optim.with_warmup(steps, num_steps=0) is steps
    slow = optim.slow_start(steps, num_steps=5)
    assert values(slow, (0, 4, 5, 30)) == pytest.approx([0.04, 0.04, 0.4, 0.04])
    root = optim.polynomial_decay(0.01, num_steps=100, power=0.5)
    assert values(root, (0, 36, 100, 200)) == pytest.approx([0.01, 0.008, 0.0, 0.0])
    with pytest.raises(CnnJaxError, match=r'learning_rate: got -0\.1; it must be above 0'):
        optim.step_decay(-0.1, boundaries=(30, 60))
    with pytest.raises(ValueError, match=r'boundaries: got \(60, 30\)'):
        optim.step_decay(0.1, boundaries=(60, 30))


def test_ema_decay():
    assert values(optim.ema_decay(0.99), (0, 8, 10**6)) == pytest.approx([0.1, 0.5, 0.99])


def test_schedules_run_in_a_jitted_step():
    optimizer = optim.caffe_sgd(optim.with_warmup(optim.step_decay(0.1, boundaries=(3,)), num_steps=2))
    state = optimizer.init(PARAMS)
    update = jax.jit(optimizer.update)
    for gradient in GRADIENTS:
        updates, state = update(gradient, state, PARAMS)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


def test_accumulation_is_the_large_batch():
    """optax.MultiSteps: three gradients of a third each are one step with their mean."""
    optimizer = optax.MultiSteps(optim.torch_sgd(0.1, weight_decay=0.01), every_k_schedule=3)
    state, params = optimizer.init(PARAMS), PARAMS
    for gradient in GRADIENTS[:3]:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    mean = jax.tree.map(lambda *parts: sum(parts) / 3, *GRADIENTS[:3])
    large = optim.torch_sgd(0.1, weight_decay=0.01)
    updates, _ = large.update(mean, large.init(PARAMS), PARAMS)
    for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(optax.apply_updates(PARAMS, updates)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_length_of_large_gradients():
    tree = {'a': jnp.full((3, 4), 1e25), 'b': {'c': jnp.full(4, -1e25)}}  # their squares are infinite
    assert jax.jit(optim.global_norm)(tree) == pytest.approx(4e25)
    small = {'a': jnp.array([3.0]), 'b': jnp.array([[4.0]])}
    assert optim.global_norm(small) == optax.tree.norm(small) == 5
    assert jnp.isnan(optim.global_norm({'a': jnp.array([1.0, jnp.nan])}))
    assert jnp.isinf(optim.global_norm({'a': jnp.array([1.0, jnp.inf])}))
    assert optim.global_norm({}) == 0


@pytest.mark.parametrize('scale', [0.1, 10.0])
def test_clipping_is_optaxs_where_its_squares_are_finite(scale):
    tree = {'a': jnp.array([3.0, -1.0]) * scale, 'b': jnp.array([[0.5]]) * scale}
    clips = (optim.clip_by_global_norm(1.0), optax.clip_by_global_norm(1.0))
    ours, theirs = (clip.update(tree, clip.init(tree))[0] for clip in clips)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, theirs))


def test_a_huge_gradient_is_shortened_and_not_lost():
    tree = {'a': jnp.array([3e25, 4e25])}
    clip = optim.clip_by_global_norm(1.0)
    np.testing.assert_allclose(clip.update(tree, clip.init(tree))[0]['a'], [0.6, 0.8], rtol=1e-6)
