"""Forms of the gradient: in parts it is the whole one, sharpness-aware it is that of a point near by."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import experiment, optim
from cnn_jax.data.augment import on_images
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.layers import dropout
from cnn_jax.steps.gradient import Gradient, accumulated
from cnn_jax.steps.state import init_state, with_clocks
from cnn_jax.steps.train import make_train_step
from cnn_jax.training import states
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.checkpoint import Checkpoints
from tests.test_steps import Linear, make_batch, make_recipe

TINY = 'tests/tiny_experiment.py'


def trained(options, data_dir, **how):
    """The losses of the first steps of the tiny experiment and the state after them; each kind of run once."""
    return _trained(tuple(options.items()), data_dir, **how)


@functools.cache
def _trained(options, data_dir, *, num_devices=1, num_steps=4, seed=0, parallel: mapping.Parallel = 'mapped'):
    run = experiment.load(TINY, dict(options)).experiment
    mesh = mapping.make_mesh(num_devices)
    feed = open_feed(run.data, data_dir=data_dir, seed=0, mesh=mesh)
    state = states.initial_state(run, states.abstract_state(run, mesh, parallel), seed=seed)
    step = mapping.map_step(run.train_step(), mesh, parallel=parallel)
    values = []
    for number in range(num_steps):
        state, metrics = step(state, feed.train(number))
        values.append(float(metrics['loss']))
    return np.array(values), state


def first_state(recipe):
    return jax.jit(lambda: init_state(recipe, make_batch(1), jax.random.key(0)))()


@pytest.mark.parametrize('num_devices', [1, 2])
def test_parts_add_up_to_the_whole_dropout_included(num_devices, data_dir):
    # With seed 0 one gradient of 2,560 is 0 but for rounding, of which the first step of Adam makes a step of its own.
    whole, state = trained({'norm': 'frozen'}, data_dir, seed=1)
    parts, other = trained({'norm': 'frozen', 'accumulate': 4}, data_dir, num_devices=num_devices, seed=1)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.params, other.params)


@pytest.mark.parametrize('num_devices', [2, 4, 8])
def test_batch_norm_sees_the_same_parts_on_any_number_of_devices(num_devices, data_dir):
    whole, _ = trained({}, data_dir, num_steps=2)
    parts, state = trained({'accumulate': 2}, data_dir, num_steps=2)
    many, other = trained({'accumulate': 2}, data_dir, num_steps=2, num_devices=num_devices)
    assert abs(parts[0] - whole[0]) > 1e-4, 'statistics of half a batch are others'
    np.testing.assert_allclose(many, parts, rtol=1e-6)
    for one, two in zip(*(jax.tree.leaves(run.model_state['batch_stats']) for run in (state, other)), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7)


def test_a_part_is_every_so_many_image_of_the_global_batch():
    """Images 0 .. 7 in 2 parts on 2 devices: the even ones, then the odd ones, each at its own place."""
    seen = []

    def look(params, model_state, inputs, rngs):
        del model_state, rngs
        places = dropout._places.get()
        jax.debug.callback(lambda *values: seen.append(values), inputs['image'], places)
        return Gradient(jax.tree.map(jnp.zeros_like, params), {}, {'loss': jnp.mean(1.0 * inputs['image'])})

    def step(state, batch):
        del state
        rngs = {'dropout': jax.random.key(0)}
        found = accumulated(look, 2)(jax.lax.pcast(jnp.zeros(1), 'data', to='varying'), {}, batch, rngs)
        return jax.lax.pmean(found.params, 'data'), jax.lax.pmean(found.metrics, 'data')

    mesh = mapping.make_mesh(2)
    batch = mapping.put_batch(mesh, {'image': np.arange(8)})
    _, metrics = mapping.map_step(step, mesh, donate=False)(jnp.zeros(1), batch)
    jax.effects_barrier()
    assert float(metrics['loss']) == 3.5
    assert all(np.array_equal(images, places) for images, places in seen)
    assert sorted(tuple(np.asarray(images).tolist()) for images, _ in seen) == [(0, 2), (1, 3), (4, 6), (5, 7)]


def test_parts_must_divide_the_images_of_a_device(data_dir):
    with pytest.raises(ValueError, match='accumulate: 3 parts do not divide a batch of 16 images'):
        experiment.load(TINY, {'accumulate': 3})
    with pytest.raises(ValueError, match='accumulate: 16 parts do not divide the 8 images of a device'):
        trained({'accumulate': 16}, data_dir, num_devices=2)


@pytest.mark.parametrize('num_devices', [1, 2])
def test_sharpness_aware_is_the_gradient_uphill(num_devices):
    model, radius, mesh = Linear(), 0.5, mapping.make_mesh(num_devices)
    recipe = make_recipe(model, optax.sgd(1.0), sam_radius=radius)
    state = first_state(recipe)
    batch, kernel = make_batch(), np.asarray(state.params['kernel'], np.float64)
    pixels, onehot = batch['image'].reshape(8, 4) / 255, np.eye(3)[batch['label']]

    def gradient(kernel):
        scores = 2 * pixels @ kernel
        softmax = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        return 2 * pixels.T @ (softmax - onehot) / 8

    here = gradient(kernel)
    top = kernel + radius * here / np.linalg.norm(here)
    step = make_train_step(recipe)
    state = jax.device_put(state, mapping.replicated(mesh))
    after, _ = mapping.map_step(step, mesh)(state, mapping.put_batch(mesh, batch))
    np.testing.assert_allclose(after.params['kernel'], kernel - gradient(top), atol=1e-5)
    assert np.abs(gradient(top) - here).max() > 1e-3


@pytest.mark.parametrize('num_devices', [2, 8])
def test_sharded_is_mapped_and_each_device_holds_its_piece(num_devices, data_dir):
    options = {'ema_decay': 0.5, 'width': 8}
    mapped, state = trained(options, data_dir, num_devices=num_devices)
    sharded, other = trained(options, data_dir, num_devices=num_devices, parallel='sharded')
    np.testing.assert_allclose(sharded, mapped, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.variables, other.variables)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.ema, other.ema)
    for tree in (other.params, other.opt_state[0].mu, other.ema['params']):
        kernel = tree['fc']['kernel']  # (8 * 8 * width, 10)
        assert kernel.addressable_shards[0].data.shape == (512 // num_devices, 10)
        assert tree['fc']['bias'].addressable_shards[0].data.shape == (10 // (2 if num_devices == 2 else 1),)


def test_sharded_takes_parts_too(data_dir):
    one, state = trained({'norm': 'frozen'}, data_dir)
    many, other = trained({'norm': 'frozen', 'accumulate': 2}, data_dir, num_devices=4, parallel='sharded')
    np.testing.assert_allclose(many, one, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.params, other.params)


def test_the_moving_average_forgets_early_weights_first(data_dir):
    run = experiment.load(TINY, {'ema_decay': 0.3}).experiment
    mesh = mapping.make_mesh(1)
    feed = open_feed(run.data, data_dir=data_dir, seed=0, mesh=mesh)
    state = states.initial_state(run, states.abstract_state(run, mesh), seed=0)
    expected = {name: jax.device_get(state.variables[name]) for name in ('params', 'batch_stats')}
    step = mapping.map_step(run.train_step(), mesh)
    for number, share in enumerate([1 / 10, 2 / 11, 3 / 12, 0.3, 0.3]):
        state, _ = step(state, feed.train(number))
        now = {name: jax.device_get(state.variables[name]) for name in expected}
        expected = jax.tree.map(lambda old, new, share=share: share * old + (1 - share) * new, expected, now)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), dict(state.ema), expected)
    assert set(state.ema_variables) == set(state.variables)


def test_a_step_that_is_not_finite_is_skipped_whole():
    mesh = mapping.make_mesh(2)
    optimizer = optax.adam(0.1)

    def spoil(keys, images):  # the image whose first pixel is 0
        return jnp.where(images[:, :1, :1] == 0, jnp.nan, images / 255.0)

    recipe = dataclasses.replace(make_recipe(Linear(), optimizer, on_nan='skip'), preprocess=on_images(spoil))
    batch = make_batch()
    batch['image'][:, 0, 0] = 1
    state = first_state(recipe)
    before = jax.device_get(state)
    step = mapping.map_step(make_train_step(recipe), mesh)
    bad = {**batch, 'image': batch['image'].copy()}
    bad['image'][5, 0, 0] = 0
    state = jax.device_put(state, mapping.replicated(mesh))
    state, metrics = step(state, mapping.put_batch(mesh, bad))
    assert float(metrics['skipped']) == 1
    assert int(state.step) == 1
    same = jax.tree.map(
        np.array_equal, jax.device_get((state.params, state.opt_state)), (before.params, before.opt_state)
    )
    assert jax.tree.all(same)
    state, metrics = step(state, mapping.put_batch(mesh, batch))
    assert float(metrics['skipped']) == 0
    assert np.isfinite(state.params['kernel']).all()
    assert not np.array_equal(state.params['kernel'], before.params['kernel'])


def falling(step):
    """1, 1/2, 1/4, ...: 0 at step 4, as a cosine ends."""
    return jnp.where(step < 4, 0.5**step, 0.0)


SCHEDULED = {
    'sgd': lambda: optax.sgd(falling),
    'chained': lambda: optax.chain(optax.clip_by_global_norm(1e9), optax.scale_by_schedule(falling), optax.scale(-1.0)),
    'injected': lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=falling),
    'masked': lambda: optax.masked(optax.sgd(falling), {'kernel': True}),
    'by name': lambda: optax.multi_transform({'all': optax.sgd(falling)}, {'kernel': 'all'}),
    'momentum': lambda: optax.sgd(falling, momentum=0.0),
}


@pytest.mark.parametrize('name', SCHEDULED)
def test_the_rate_of_a_step_is_the_logged_one_whatever_was_skipped(name):
    """Step k moves by `falling(k)` times the gradient: after a skipped step, and to the end of the schedule."""
    mesh = mapping.make_mesh(1)

    def spoil(keys, images):
        return jnp.where(images[:, :1, :1] == 0, jnp.nan, images / 255.0)

    recipe = make_recipe(Linear(), SCHEDULED[name](), on_nan='skip', learning_rate=falling)
    recipe = dataclasses.replace(recipe, preprocess=on_images(spoil))
    good = make_batch()
    good['image'][:, 0, 0] = 1
    bad = {**good, 'image': good['image'] * 0}
    step = mapping.map_step(make_train_step(recipe), mesh, donate=False)
    state = jax.device_put(first_state(recipe), mapping.replicated(mesh))
    for number, spoiled in enumerate([False, True, False, True, False]):
        before = np.asarray(state.params['kernel'], np.float64)
        state, metrics = step(state, mapping.put_batch(mesh, bad if spoiled else good))
        moved = np.linalg.norm(np.asarray(state.params['kernel'], np.float64) - before)
        assert float(metrics['learning_rate']) == falling(number)
        assert moved == pytest.approx(0 if spoiled else float(falling(number) * metrics['gradient_norm']), rel=1e-5)
    assert int(state.step) == 5


def test_counts_of_moments_stay_with_them():
    """Adam's count is of its moments; the schedule's is of steps."""
    params = {'kernel': jnp.zeros(2)}
    optimizer = optax.adam(optax.constant_schedule(0.1))
    before = optimizer.init(params)
    _, after = optimizer.update({'kernel': jnp.full(2, jnp.nan)}, before, params)
    kept = with_clocks(before, after)
    assert (int(kept[0].count), int(kept[1].count)) == (0, 1)
    np.testing.assert_array_equal(kept[0].mu['kernel'], 0)
    parts = optax.MultiSteps(optax.sgd(optax.constant_schedule(0.1)), 2)
    begun = parts.init(params)
    _, later = parts.update({'kernel': jnp.full(2, jnp.nan)}, begun, params)
    assert int(with_clocks(begun, later).mini_step) == 0, 'an accumulation waits for the gradient that it lacks'


@pytest.mark.parametrize('optimizer', ['adam', 'momentum', 'caffe'])
def test_in_float64_a_state_keeps_its_types_and_its_checkpoint_is_taken(optimizer, tmp_path):
    made = {
        'adam': lambda: optax.adam(optax.cosine_decay_schedule(1e-2, 10)),
        'momentum': lambda: optax.sgd(optax.cosine_decay_schedule(1e-2, 10), momentum=0.9),
        'caffe': lambda: optim.caffe_sgd(optax.cosine_decay_schedule(1e-2, 10), weight_decay=1e-4),
    }
    run = experiment.load(TINY, {'ema_decay': 0.5}).experiment
    double = on_images(lambda keys, images: images.astype(jnp.float64) / 255)
    run = dataclasses.replace(run, preprocess=double, optimizer=made[optimizer]())
    with jax.enable_x64(True):
        setup = Setup(run, data_dir=tmp_path, num_devices=1)
        state, feed = setup.initial_state(0), setup.open_feed(0)
        for number in range(2):
            state, _ = setup.train_step(state, feed.train(number))
        forms = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (setup.like, state)]
        assert forms[0] == forms[1]
        checkpoints = Checkpoints(tmp_path / 'c')
        checkpoints.save(2, state)
        checkpoints.close()
        restored = checkpoints.restore(2, setup.like).state
    np.testing.assert_array_equal(
        restored.model_state['batch_stats']['norm1']['var'], state.model_state['batch_stats']['norm1']['var']
    )
