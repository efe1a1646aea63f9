"""Converted weights against torchvision's own outputs: scores and input gradients, in float64 and float32.

The oracles hold what torchvision gives in float64 for weights and images that are drawn from names (`golden.py`).
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import GOLDEN, large, recipe, state_dict

from cnn_jax import weights

ARCHITECTURES = ['alexnet', 'vgg11', 'vgg16_bn', 'googlenet', 'resnet18', 'resnet50']

pytestmark = [
    pytest.mark.skipif(not GOLDEN.is_dir(), reason=f'no stored oracles in {GOLDEN}'),
    pytest.mark.usefixtures('optimised'),  # float64 convolutions of whole nets
]


@pytest.fixture(scope='module', autouse=True)
def forgotten() -> Iterator[None]:
    """The matrices that were kept for the next net are half a gigabyte."""
    yield
    large.cache_clear()


@contextlib.contextmanager
def unoptimised() -> Iterator[None]:
    """Plain code for a net in float32, whose convolutions are calls: it is compiled in a fifth of the time."""
    jax.config.update('jax_disable_most_optimizations', True)
    try:
        yield
    finally:
        jax.config.update('jax_disable_most_optimizations', False)


def relative(ours: jax.Array, reference: np.ndarray) -> float:
    return float(np.max(np.abs(np.asarray(ours) - reference)) / np.max(np.abs(reference)))


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_scores_and_input_gradients_are_torchvisions(arch):
    with np.load(GOLDEN / f'{arch}.npz') as oracle:
        reference = dict(oracle)
    model, variables = weights.torchvision(arch, state_dict(reference))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables['params'])) == reference['param_count']
    images = recipe().images(2)

    def scores_and_gradient(variables, images):
        def total(images):
            scores: Any = model.apply(variables, images, train=False)
            return jnp.sum(scores), scores

        (_, scores), gradient = jax.value_and_grad(total, has_aux=True)(images)
        return scores, gradient.reshape(2, 56, 4, 56, 4, 3).mean((2, 4))

    with jax.enable_x64(True):
        double = jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (variables, images)))
        scores, gradient = jax.jit(scores_and_gradient)(*double)
    assert scores.dtype == jnp.float64
    assert relative(scores, reference['logits']) < 1e-6
    assert relative(gradient, reference['input_grad_4x4mean']) < 1e-5

    with unoptimised(), jax.default_matmul_precision('highest'):
        single = jax.jit(lambda variables, images: model.apply(variables, images, train=False))(variables, images)
    assert single.dtype == jnp.float32
    assert relative(single, reference['logits']) < 2e-5
