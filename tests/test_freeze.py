"""Frozen layers: bit-equal parameters and statistics, no gradient's work, mistakes that are named early."""

import re

import jax
import numpy as np
import optax
import pytest
from tiny_experiment import experiment

from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment
from cnn_jax.freeze import freeze
from cnn_jax.training import states

STEPS = 3


def make_batch(step: int):
    rng = np.random.default_rng(step)
    return {
        'image': rng.integers(0, 200, (8, 8, 8, 1)).astype(np.uint8),
        'label': rng.integers(0, 10, 8).astype(np.int32),
        'mask': np.ones(8, bool),
        'index': np.arange(8, dtype=np.int32),
        'epoch': np.full(8, step, np.int32),
    }


def run(made: Experiment):
    """Variables before and after three steps on two devices."""
    mesh = mapping.make_mesh(2)
    state = states.initial_state(made, states.abstract_state(made, mesh), seed=0)
    before = mapping.fetch(state.variables)
    step = mapping.map_step(made.train_step(), mesh)
    for number in range(STEPS):
        state, metrics = step(state, mapping.put_batch(mesh, make_batch(number)))
        assert np.isfinite(float(metrics['loss']))
    return before, mapping.fetch(state.variables)


def moved(before, after) -> bool:
    return not all(jax.tree.leaves(jax.tree.map(np.array_equal, before, after)))


@pytest.mark.parametrize('statistics', [True, False])
def test_frozen_layers_stay_bit_for_bit(statistics):
    made = freeze(experiment(batch_size=8), ['conv*', 'norm1'], statistics=statistics)
    before, after = run(made)
    for layer in ('conv1', 'norm1'):
        assert not moved(before['params'][layer], after['params'][layer])
    assert moved(before['params']['fc'], after['params']['fc'])
    assert moved(before['batch_stats'], after['batch_stats']) is not statistics


def convolutions(made: Experiment) -> int:
    """How many convolutions a training step has, forward and backward."""
    mesh = mapping.make_mesh(1)
    state = states.abstract_state(made, mesh)
    text = mapping.map_step(made.train_step(), mesh).lower(state, make_batch(0)).as_text()
    return len(re.findall(r'stablehlo\.convolution', text))


def test_a_frozen_layer_costs_no_gradient():
    free = experiment(batch_size=8)
    assert convolutions(free) == 2, 'the map, and the gradient of the kernel'
    assert convolutions(freeze(free, ['conv1', 'norm1'])) == 1


def test_nothing_frozen_is_the_experiment_itself():
    made = experiment()
    assert freeze(made, []) is made


def test_mistakes_are_named_before_anything_runs():
    with pytest.raises(CnnJaxError, match=r"no layer or parameter fits 'conv2'; there are conv1, fc, norm1"):
        freeze(experiment(), ['fc', 'conv2'])
    with pytest.raises(CnnJaxError, match=r'nothing is left to train beside fc, \*1; leave the last layer out'):
        freeze(experiment(), ['fc', '*1'])


def test_it_composes_with_what_the_optimizer_does():
    made = freeze(experiment(batch_size=8), ['conv1'])
    states = jax.eval_shape(lambda: made.init_state(0)).opt_state
    plain = jax.eval_shape(lambda: optax.adam(1e-2).init(made.init_state(0).params))
    kernels = [leaf for leaf in jax.tree.leaves(states) if leaf.shape == (3, 3, 1, 4)]
    assert len([leaf for leaf in jax.tree.leaves(plain) if leaf.shape == (3, 3, 1, 4)]) == 2
    assert kernels == [], 'Adam keeps nothing for a frozen kernel'
