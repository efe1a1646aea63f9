"""An initialisation computed by parts: bit for bit that of one program, each distinct part compiled once."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from cnn_jax.devices import mapping
from cnn_jax.layers import BatchNorm
from cnn_jax.layers.variables import make_weight
from cnn_jax.steps import initialize


class Net(nn.Module):
    """Six equal layers, two that differ in a constant alone, and values of every other kind."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for number in range(6):
            x = nn.Dense(x.shape[-1], name=f'dense{number}')(x)
            x = BatchNorm(name=f'norm{number}')(x, train=train)
        for deviation in (0.1, 0.2):
            x = nn.Dense(x.shape[-1], kernel_init=nn.initializers.normal(deviation))(x)
        fixed = make_weight(self, 'fixed', nn.initializers.normal(), (4,), trainable=False)
        step = self.variable('counters', 'step', lambda: jnp.int32(3))
        mean = self.param('mean', lambda key: x.mean(0) + jax.random.normal(key, x.shape[1:]))  # of the images
        return x + mean[None] + fixed[None] + step.value


@pytest.fixture
def lowered(monkeypatch) -> list[Any]:
    """The parts that were compiled, in a process that has compiled none."""
    monkeypatch.setattr(initialize, '_compiled', {})
    found, lower = [], initialize._Call.lower

    def record(call):
        found.append(call)
        return lower(call)

    monkeypatch.setattr(initialize._Call, 'lower', record)
    return found


def assert_same_bits(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for (path, one), other in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype, jax.tree_util.keystr(path)
        np.testing.assert_array_equal(one, other, err_msg=jax.tree_util.keystr(path), strict=True)


@pytest.mark.parametrize('make_key', [jax.random.key, jax.random.PRNGKey])
def test_values_are_those_of_one_program(make_key, lowered):
    images = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4), np.float32))
    found = initialize.initialize(Net(), make_key(7), images, train=False)
    expected = jax.jit(lambda key, images: Net().init(key, images, train=False))(make_key(7), images)
    assert_same_bits(found, expected)
    samplers = [call for call in lowered if call.is_random and call.type.shape == (4, 4)]
    assert len(samplers) == 3  # the six layers share one, and each of the other two has its own
    lowered.clear()
    assert_same_bits(initialize.initialize(Net(), make_key(7), images, train=False), expected)
    assert not lowered  # the process knows them


def test_another_kind_of_random_bits_is_another_program(lowered):
    with jax.threefry_partitionable(False):
        initialize.initialize(Net(), jax.random.key(7), jnp.ones((2, 4)), train=False)
    found = initialize.initialize(Net(), jax.random.key(7), jnp.ones((2, 4)), train=False)
    expected = jax.jit(lambda key: Net().init(key, jnp.ones((2, 4)), train=False))(jax.random.key(7))
    assert_same_bits(found, expected)


def test_a_net_without_repeats_is_one_program(lowered):
    images = jnp.zeros((2, 3))
    initialize.initialize(nn.Dense(4), jax.random.key(0), images)
    assert not lowered


def test_keys_of_a_seed_and_shardings():
    mesh = mapping.make_mesh()
    sharding = NamedSharding(mesh, P())

    def state() -> dict[str, Any]:
        keys = jax.random.split(jax.random.key(3))
        values = {f'w{n}': jax.random.uniform(jax.random.fold_in(keys[0], n), (8, 2)) for n in range(4)}
        return {**values, 'copy': values['w1'] * 0, 'rng': keys[1]}

    shardings = dict.fromkeys(jax.eval_shape(state), sharding)
    shardings['w2'] = NamedSharding(mesh, P('data'))
    found = initialize.compute(state, shardings=shardings)
    assert {name: value.sharding for name, value in found.items()} == shardings
    expected = jax.jit(state)()
    assert_same_bits(jax.random.key_data(found.pop('rng')), jax.random.key_data(expected.pop('rng')))
    assert_same_bits(found, expected)
    shapes = jax.eval_shape(lambda: initialize.compute(state))
    assert jax.tree.map(jnp.shape, found) == {name: shapes[name].shape for name in found}


def test_a_loop_is_not_cut_apart():
    def weights(key):
        def body(carry, key):
            return carry + 1, jax.random.normal(key, (3,)) * carry

        _, rows = jax.lax.scan(body, jnp.float32(0), jax.random.split(key, 5))
        return {'rows': rows, **{f'w{n}': jax.random.normal(jax.random.fold_in(key, n), (3,)) for n in range(3)}}

    key = jax.random.key(0)
    assert_same_bits(initialize.compute(weights, key), jax.jit(weights)(key))
