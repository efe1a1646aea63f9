"""One step on many devices is the step on one device."""

import functools

import jax
import numpy as np
import pytest

from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.errors import CnnJaxError
from cnn_jax.training import states

TINY = 'tests/tiny_experiment.py'


def losses(name, options, data_dir, **how):
    """The training losses of the first steps, and the state after them; what several tests compare with runs once."""
    return _losses(name, tuple(options.items()), data_dir, **how)


@functools.cache
def _losses(name, options, data_dir, *, num_devices, parallel: mapping.Parallel = 'mapped', num_steps):
    run = experiment.load(name, dict(options)).experiment
    mesh = mapping.make_mesh(num_devices)
    feed = open_feed(run.data, data_dir=data_dir, seed=0, mesh=mesh)
    like = states.abstract_state(run, mesh)
    state = states.initial_state(run, like, seed=0)
    step = mapping.map_step(run.train_step(), mesh, parallel=parallel)
    values = []
    for number in range(num_steps):
        state, metrics = step(state, feed.train(number))
        values.append(float(metrics['loss']))
    return np.array(values), jax.device_get(state.variables)


@pytest.mark.parametrize('parallel', ['mapped', 'pmap'])
def test_default_recipe_on_eight_devices_equals_one(parallel, data_dir):
    one, _ = losses('lenet_digits', {}, data_dir, num_devices=1, num_steps=20)
    eight, _ = losses('lenet_digits', {}, data_dir, num_devices=8, parallel=parallel, num_steps=20)
    assert one[-1] < one[0]
    np.testing.assert_allclose(eight, one, atol=1e-5)


@pytest.mark.parametrize('num_devices', [2, 8])
def test_batch_norm_and_dropout_do_not_see_the_device_count(num_devices, data_dir):
    one, state = losses(TINY, {}, data_dir, num_devices=1, num_steps=6)
    many, other = losses(TINY, {}, data_dir, num_devices=num_devices, num_steps=6)
    np.testing.assert_allclose(many, one, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state, other)


@pytest.mark.parametrize('num_devices', [2, 4])
def test_modes_agree_to_the_last_bits_with_batch_norm_and_dropout(num_devices, data_dir):
    mapped, state = losses(TINY, {}, data_dir, num_devices=num_devices, num_steps=6)
    pmapped, other = losses(TINY, {}, data_dir, num_devices=num_devices, parallel='pmap', num_steps=6)
    np.testing.assert_allclose(mapped, pmapped, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state, other)


EVERYTHING = {'auxiliary': True, 'ema_decay': 0.9, 'accumulate': 2, 'norm': 'ghost(1)'}


@pytest.mark.parametrize(('num_devices', 'parallel'), [(2, 'mapped'), (8, 'mapped'), (8, 'sharded'), (2, 'pmap')])
def test_heads_averages_parts_and_ghosts_do_not_see_the_device_count(num_devices, parallel, data_dir):
    one, state = losses(TINY, EVERYTHING, data_dir, num_devices=1, num_steps=20)
    many, other = losses(TINY, EVERYTHING, data_dir, num_devices=num_devices, parallel=parallel, num_steps=20)
    np.testing.assert_allclose(many, one, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state, other)


def test_batch_norm_of_each_device_sees_the_device_count(data_dir):
    one, _ = losses(TINY, {'norm': 'per_device'}, data_dir, num_devices=1, num_steps=2)
    two, _ = losses(TINY, {'norm': 'per_device'}, data_dir, num_devices=2, num_steps=2)
    ghosts, _ = losses(TINY, {'norm': 'ghost(8)'}, data_dir, num_devices=1, num_steps=2)
    assert abs(one[0] - two[0]) > 1e-4
    np.testing.assert_allclose(two, ghosts, rtol=1e-5)


def test_batch_that_devices_do_not_divide_is_refused():
    with pytest.raises(CnnJaxError, match='batch_size: 12 images do not divide over 8 devices; use 8 or 16'):
        mapping.check_divides(12, mapping.make_mesh())
    with pytest.raises(CnnJaxError, match=r'use 8$'):
        mapping.check_divides(4, mapping.make_mesh())


def test_gather_gives_each_row_once():
    mesh = mapping.make_mesh()
    arrays = {'image': np.arange(40, dtype=np.uint8).reshape(20, 2)}
    index = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.int32)
    rows = mapping.make_gather(mesh)(mapping.replicate(mesh, arrays), mapping.put_batch(mesh, index))
    np.testing.assert_array_equal(mapping.fetch(rows)['image'], arrays['image'][index])


def test_gradient_of_a_replicated_value_is_the_mean_not_the_sum():
    mesh = mapping.make_mesh()

    def step(weight, batch):
        slope = jax.grad(lambda w: (w * batch).mean())(mapping.vary(weight))
        return weight, jax.lax.pmean(slope, 'data')

    batch = np.arange(16, dtype=np.float32)
    weight = mapping.replicate(mesh, np.float32(2))
    for parallel in ('mapped', 'pmap'):
        weight, slope = mapping.map_step(step, mesh, parallel=parallel)(weight, mapping.put_batch(mesh, batch))
        assert float(slope) == pytest.approx(7.5)
