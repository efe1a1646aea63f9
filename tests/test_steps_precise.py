"""Statistics of many images instead of running averages, in an evaluation that shows the moving average too."""

import dataclasses

import jax
import numpy as np
import pytest

from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.freeze import freeze
from cnn_jax.steps import precise
from cnn_jax.training import states
from cnn_jax.training.setup import Setup

TINY = 'tests/tiny_experiment.py'


@pytest.mark.parametrize('num_devices', [1, 2])
def test_statistics_are_those_of_all_images_together(num_devices, data_dir):
    run = experiment.load(TINY, {}).experiment
    mesh = mapping.make_mesh(num_devices)
    feed = open_feed(run.data, data_dir=data_dir, seed=0, mesh=mesh)
    variables = states.initial_state(run, states.abstract_state(run, mesh), seed=0).variables
    batches = [feed.train(number) for number in range(3)]
    forward = precise.make_pass(dataclasses.replace(run, augment=None).train_step(), mesh)
    found = precise.precise_variables(variables, batches, forward)['batch_stats']['norm1']

    kernel, bias = (np.asarray(variables['params']['conv1'][name], np.float64) for name in ('kernel', 'bias'))
    images = np.concatenate([np.asarray(batch['image'], np.float64) / 255 for batch in batches])
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (48, 8, 8, 1, 3, 3)
    values = np.maximum(np.einsum('nhwcij,ijco->nhwo', windows, kernel) + bias, 0)
    np.testing.assert_allclose(found['mean'], values.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found['var'], values.var((0, 1, 2)), rtol=2e-3)


def test_an_evaluation_shows_both_and_changes_nothing(data_dir):
    run = experiment.load(TINY, {'ema_decay': 0.9, 'precise_batch_norm': 2}).experiment
    setup = Setup(run, data_dir=data_dir, num_devices=1)
    feed, state = setup.open_feed(0), setup.initial_state(0)
    for number in range(3):
        state, _ = setup.train_step(state, feed.train(number))
    before = jax.device_get(state.variables)
    results = setup.evaluate_state(state, 3, feed, 'test')
    assert set(results) == {'test', 'test_ema'}
    assert results['test'].summary['loss'] != results['test_ema'].summary['loss']
    assert jax.tree.all(jax.tree.map(np.array_equal, before, jax.device_get(state.variables)))
    assert setup.evaluate_state(state, 3, feed, 'test')['test'].summary == results['test'].summary
    running = Setup(experiment.load(TINY, {}).experiment, data_dir=data_dir, num_devices=1)
    assert running.evaluate_state(state, 3, feed, 'test')['test'].summary['loss'] != results['test'].summary['loss']


def test_what_the_step_holds_is_held(data_dir):
    """A frozen norm keeps its running averages; a kernel that lies among the statistics stays."""
    run = freeze(experiment.load(TINY, {'precise_batch_norm': 2}).experiment, ['norm1'])
    setup = Setup(run, data_dir=data_dir, num_devices=1)
    feed, state = setup.open_feed(0), setup.initial_state(0)
    kernel = np.array([[1, 2], [3, 4]], np.float32)
    moved = jax.tree.map(lambda leaf: leaf + 0.5, state.model_state['batch_stats'])
    variables = {**state.variables, 'batch_stats': {**moved, 'whiten': {'kernel': kernel}}}

    def keep(*arguments):  # the model has no such kernel; its pass gives back what it got
        changed, _ = precise.make_pass(setup.step, setup.mesh)(*arguments)
        return {**changed, 'whiten': arguments[0]['batch_stats']['whiten']}, {}

    found = precise.precise_variables(variables, [feed.train(0), feed.train(1)], keep)['batch_stats']
    jax.tree.map(np.testing.assert_array_equal, found['norm1'], moved['norm1'])
    np.testing.assert_array_equal(found['whiten']['kernel'], kernel)


def test_statistics_that_are_frozen_stay_and_freeze_is_obeyed(data_dir):
    """Where nothing moves there is nothing to compute: a layer's share of its old average is 1, no division by 0."""
    frozen = experiment.load(TINY, {'norm': 'frozen', 'precise_batch_norm': 2}).experiment
    held = freeze(experiment.load(TINY, {'precise_batch_norm': 2}).experiment, ['conv1', 'norm1'])
    for run in (frozen, held):
        setup = Setup(run, data_dir=data_dir, num_devices=1)
        feed, state = setup.open_feed(0), setup.initial_state(0)
        moved = jax.tree.map(lambda leaf: leaf + 0.25, state.model_state['batch_stats'])
        state = dataclasses.replace(state, model_state={**state.model_state, 'batch_stats': moved})
        found = setup._precise(state.variables, 0, feed)['batch_stats']
        jax.tree.map(np.testing.assert_array_equal, found, moved)
        assert np.isfinite(setup.evaluate_state(state, 0, feed, 'test')['test'].summary['loss'])


def test_a_whitening_kernel_among_the_statistics_stays(tmp_path):
    run = experiment.load('cifar10_speedrun', {'smoke': True}).experiment
    setup = Setup(dataclasses.replace(run, precise_batch_norm=2), data_dir=tmp_path, num_devices=1)
    feed, state = setup.open_feed(0), setup.initial_state(0)
    state, _ = setup.train_step(state, feed.train(0))
    before = state.model_state['batch_stats']
    found = setup._precise(state.variables, 1, feed)['batch_stats']
    assert np.any(before['whiten']['kernel'] != 0)
    np.testing.assert_array_equal(found['whiten']['kernel'], before['whiten']['kernel'])
    assert np.abs(found['norm1_1']['mean'] - before['norm1_1']['mean']).max() > 1e-4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize('share', [0.0, 0.6, 0.9, 0.99])
@pytest.mark.parametrize('size', [1e-3, 1.0, 1e5])
def test_a_batchs_own_statistics_are_found_to_rounding(share, size):
    """By hand: batches of mean 3 and 5 times a size, both of variance 2 times its square; together 4, and 2 + 1."""
    batches = [{'mean': np.float32(mean * size), 'var': np.float32(2 * size**2)} for mean in (3, 5)]

    def forward(variables, batch):
        old = variables['batch_stats']['norm']
        return {'norm': {name: share * old[name] + (1 - share) * batch[name] for name in batch}}, {}

    start = {'norm': {'mean': np.ones(1, np.float32), 'var': np.ones(1, np.float32)}}
    found = precise.precise_variables({'batch_stats': start}, batches, forward)['batch_stats']['norm']
    np.testing.assert_allclose(found['mean'], 4 * size, rtol=3e-5)
    np.testing.assert_allclose(found['var'], 3 * size**2, rtol=3e-5)


def test_a_large_mean_leaves_the_variance_whole():
    """Means of 1000 and 1001, variances of 1: together 1.25; as a mean square less a squared mean, 0.06 off."""
    batches = [{'mean': np.float32(mean), 'var': np.float32(1)} for mean in (1000, 1001)]

    def forward(variables, batch):
        return {'norm': {name: 0.5 * variables['batch_stats']['norm'][name] + 0.5 * batch[name] for name in batch}}, {}

    start = {'norm': {'mean': np.zeros(1, np.float32), 'var': np.ones(1, np.float32)}}
    found = precise.precise_variables({'batch_stats': start}, batches, forward)['batch_stats']['norm']
    np.testing.assert_allclose(found['var'], 1.25, rtol=1e-6)


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match='batches: got none; give at least 1'):
        precise.precise_variables({'batch_stats': {}}, [], lambda variables, batch: ({}, {}))
