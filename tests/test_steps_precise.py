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
    results = setup.evaluate_state(state, 3, feed)
    assert set(results) == {'test', 'test_ema'}
    assert results['test'].summary['loss'] != results['test_ema'].summary['loss']
    assert jax.tree.all(jax.tree.map(np.array_equal, before, jax.device_get(state.variables)))
    assert setup.evaluate_state(state, 3, feed)['test'].summary == results['test'].summary
    running = Setup(experiment.load(TINY, {}).experiment, data_dir=data_dir, num_devices=1)
    assert running.evaluate_state(state, 3, feed)['test'].summary['loss'] != results['test'].summary['loss']


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
