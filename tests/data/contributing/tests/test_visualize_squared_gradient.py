"""Of a linear net the squares of its weights."""

import flax.linen as nn
import jax
import numpy as np

from cnn_jax.visualize import squared_gradient


class Linear(nn.Module):
    @nn.compact
    def __call__(self, images):
        return nn.Dense(3, use_bias=False, name='output')(images.reshape(images.shape[0], -1))


def test_of_a_linear_net_it_is_the_square_of_the_weights():
    images = jax.random.normal(jax.random.key(0), (2, 3, 4, 1))
    variables = Linear().init(jax.random.key(1), images)
    maps = squared_gradient.attribute(Linear(), variables, images, 1)
    weights = np.asarray(variables['params']['output']['kernel'])[:, 1].reshape(3, 4, 1)
    np.testing.assert_allclose(maps, np.stack([weights**2] * 2), rtol=1e-6)
