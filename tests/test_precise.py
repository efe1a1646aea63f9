"""Statistics of many images instead of running averages, in an evaluation that shows the moving average too."""

import jax
import numpy as np
import pytest
from cnn_jax.evaluation.exam import make_exam

from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.steps import precise
from cnn_jax.training import states

TINY = 'tests/tiny_experiment.py'


@pytest.mark.parametrize('num_devices', [1, 2])
def test_statistics_are_those_of_all_images_together(num_devices, data_dir):
    run = experiment.load(TINY, {}).experiment
    mesh = mapping.make_mesh(num_devices)
    feed = open_feed(run.data, data_dir=data_dir, seed=0, mesh=mesh)
    variables = states.initial_state(run, states.abstract_state(run, mesh), seed=0).variables
    batches = [feed.train(number) for number in range(3)]
    forward = precise.make_pass(run.model, run.preprocess, None, mesh)
    found = precise.precise_variables(variables, batches, forward)['batch_stats']['norm1']

    kernel, bias = (np.asarray(variables['params']['conv1'][name], np.float64) for name in ('kernel', 'bias'))
    images = np.concatenate([np.asarray(batch['image'], np.float64) / 255 for batch in batches])
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (48, 8, 8, 1, 3, 3)
    values = np.maximum(np.einsum('nhwcij,ijco->nhwo', windows, kernel) + bias, 0)
    np.testing.assert_allclose(found['mean'], values.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found['var'], values.var((0, 1, 2)), rtol=2e-3)


def test_an_exam_shows_both_and_changes_nothing(data_dir):
    run = experiment.load(TINY, {'ema_decay': 0.9, 'precise_batch_norm': 2}).experiment
    mesh = mapping.make_mesh(1)
    feed = open_feed(run.data, data_dir=data_dir, seed=0, mesh=mesh)
    state = states.initial_state(run, states.abstract_state(run, mesh), seed=0)
    step = mapping.map_step(run.train_step(), mesh)
    for number in range(3):
        state, _ = step(state, feed.train(number))
    before = jax.device_get(state.variables)
    exam = make_exam(run, feed, mesh, parallel='mapped', batch_size=16, poll=lambda: None)
    results = exam(state, 3)
    assert set(results) == {'test', 'test_ema'}
    assert results['test'].summary['loss'] != results['test_ema'].summary['loss']
    assert jax.tree.all(jax.tree.map(np.array_equal, before, jax.device_get(state.variables)))
    assert exam(state, 3)['test'].summary == results['test'].summary
    running = make_exam(
        experiment.load(TINY, {}).experiment, feed, mesh, parallel='mapped', batch_size=16, poll=lambda: None
    )
    assert running(state, 3)['test'].summary['loss'] != results['test'].summary['loss']
