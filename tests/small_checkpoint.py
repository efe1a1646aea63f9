"""Checkpoints of a small pytree, for the tests that write and damage them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.devices import mapping
from cnn_jax.workdir import meta
from cnn_jax.workdir.checkpoint import Checkpoints


def make_state() -> dict[str, Any]:
    """A pytree with what a run's state has: floats, integers, a key, tuples, an absent part."""
    rng = np.random.default_rng(0)
    arrays = {
        'kernel': rng.standard_normal((3, 3, 32, 32)).astype(np.float32),
        'half': rng.standard_normal(5).astype(jnp.bfloat16),
        'count': np.int32(7),
        'flag': np.array([True, False]),
        'moments': (np.zeros(4, np.float32), [np.ones(2, np.float32)]),
    }
    tree = mapping.replicate(mapping.make_mesh(), arrays)
    return {**tree, 'rng': jax.device_put(jax.random.key(3), mapping.replicated(mapping.make_mesh())), 'ema': None}


def abstract(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), tree)


def save(folder, state, *steps, keep=3):
    checkpoints = Checkpoints(folder, keep=keep)
    for step in steps:
        checkpoints.save(step, state, note={'seconds': step / 2})
    checkpoints.close()
    return checkpoints


def bits(tree):
    return [np.asarray(jax.device_get(meta.as_numbers(leaf))).tobytes() for leaf in jax.tree.leaves(tree)]


def restore(checkpoints, like) -> tuple[Any, list[str]]:
    lines = []
    return checkpoints.restore_latest_valid(like, report=lines.append), lines
