"""The published size, layer by layer."""

import jax
import jax.numpy as jnp

from cnn_jax.models.network_in_network import NetworkInNetwork


def test_the_published_size():
    model, images = NetworkInNetwork(), jnp.zeros((1, 32, 32, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    layers = [(5, 3, 192), (1, 192, 160), (1, 160, 96), (5, 96, 192), (1, 192, 192), (1, 192, 192), (3, 192, 192)]
    layers += [(1, 192, 192), (1, 192, 10)]
    expected = sum(size**2 * inputs * outputs + outputs for size, inputs, outputs in layers)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes['params'])) == expected == 966_986
