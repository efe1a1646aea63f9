"""Cells that differ only in numbers share a program, in which these are inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.ablate.programs import unify
from cnn_jax.devices import mapping
from cnn_jax.experiment import load
from cnn_jax.training import states

TINY = 'tests/tiny_experiment.py'


def made(options, name=TINY):
    return [load(name, given).experiment for given in options]


def unified(experiments, mesh):
    data = experiments[0].data
    state = jax.eval_shape(lambda: experiments[0].init_state(0))
    batch = {
        'image': jax.ShapeDtypeStruct((data.batch_size, *data.image_shape), 'uint8'),
        'mask': jax.ShapeDtypeStruct((data.batch_size,), 'bool'),
        **{key: jax.ShapeDtypeStruct((data.batch_size,), 'int32') for key in ('label', 'index', 'epoch')},
    }
    return unify([experiment.train_step() for experiment in experiments], mesh, state, batch)


def test_learning_rates_become_inputs_and_the_steps_are_the_same():
    experiments, mesh = (
        made([{'learning_rate': rate, 'batch_size': 8} for rate in (1e-2, 0.5)]),
        mapping.make_mesh(2),
    )
    program = unified(experiments, mesh)
    assert program is not None
    assert any(np.allclose(np.abs(numbers), (1e-2, 0.5)) for numbers in program.numbers)
    rng = np.random.default_rng(0)
    batch = {
        'image': jnp.asarray(rng.integers(0, 200, (8, 8, 8, 1)), jnp.uint8),
        'label': jnp.asarray(rng.integers(0, 10, 8), jnp.int32),
        'mask': jnp.ones(8, bool),
        'index': jnp.arange(8, dtype=jnp.int32),
        'epoch': jnp.zeros(8, jnp.int32),
    }
    for place, experiment in enumerate(experiments):
        numbers = tuple(jnp.asarray(values[place]) for values in program.numbers)
        shared = mapping.map_step(lambda state, batch, numbers=numbers: program.run(numbers, state, batch), mesh)
        results = [
            step(
                states.initial_state(experiment, states.abstract_state(experiment, mesh), seed=0),
                mapping.put_batch(mesh, batch),
            )
            for step in (shared, mapping.map_step(experiment.train_step(), mesh))
        ]
        for one, other in zip(*(jax.tree.leaves(state.params) for state, _ in results), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('options', [[{'width': 4}, {'width': 5}], [{'on_nan': 'stop'}, {'on_nan': 'skip'}]])
def test_other_programs_are_told_apart(options):
    assert unified(made(options), mapping.make_mesh(1)) is None


def test_a_schedule_that_asks_for_its_peak_is_no_hindrance():
    """optax.warmup_cosine_decay_schedule compares its peak with 0, which no traced number could answer."""
    experiments = made([{'learning_rate': rate} for rate in ('1e-3', '4e-3')], 'lenet_digits')
    program = unified(experiments, mapping.make_mesh(1))
    assert program is not None
    assert len(program.numbers) >= 1
