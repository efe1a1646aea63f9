"""Checkpoints: what is written comes back bit for bit, and what was damaged is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_checkpoint import abstract, bits, make_state, restore, save

from cnn_jax.devices import mapping
from cnn_jax.workdir import checkpoint
from cnn_jax.workdir.checkpoint import Checkpoints


@pytest.fixture
def state():
    return make_state()


def test_round_trip_is_bit_equal(tmp_path, state):
    restored, lines = restore(save(tmp_path / 'c', state, 4), abstract(state))
    assert (restored.step, restored.note, lines) == (4, {'seconds': 2.0}, [])
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    assert bits(restored.state) == bits(state)


def test_nothing_saved_is_none(tmp_path, state):
    assert restore(Checkpoints(tmp_path / 'c'), abstract(state)) == (None, [])


def test_the_newest_are_kept(tmp_path, state):
    checkpoints = save(tmp_path / 'c', state, 1, 2, 3, 4, 5, keep=2)
    assert checkpoints.steps() == [4, 5]


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'int32', 'uint8', 'bool', 'float16'])
def test_digest_sees_every_single_changed_element(dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(jnp.dtype(dtype))
    digests = {int(checkpoint._digest(values))}
    for place in np.ndindex(values.shape):
        changed = values.copy()
        changed[place] = not changed[place] if dtype == 'bool' else changed[place] + 1
        digests.add(int(checkpoint._digest(changed)))
    assert len(digests) == 25


def test_digest_does_not_depend_on_the_sharding():
    values = np.random.default_rng(0).standard_normal((16, 5)).astype(np.float32)
    mesh = mapping.make_mesh()
    assert int(checkpoint._digest(mapping.put_batch(mesh, values))) == int(checkpoint._digest(values))


def test_digest_tells_a_permutation_and_a_shape():
    values = np.arange(12, dtype=np.float32)
    assert int(checkpoint._digest(values)) != int(checkpoint._digest(values[::-1].copy()))
