"""What the last layer reads, and which layer has the last maps: in nets that name their modules as they like."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from cnn_jax.errors import CnnJaxError
from cnn_jax.layers import Conv2D
from cnn_jax.models import lenet, resnet
from cnn_jax.tracing import last, scores


class Trunk(nn.Module):
    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(4, (3, 3), name='conv1')(images))
        x = nn.max_pool(nn.relu(nn.Conv(6, (3, 3), name='conv2')(x)), (2, 2), (2, 2))
        return nn.relu(nn.Dense(8, name='fc3')(x.reshape(len(x), -1)))


class Net(nn.Module):
    @nn.compact
    def __call__(self, images):
        return nn.Dense(3, name='fc4')(Trunk(name='trunk')(images))


class Wrapper(nn.Module):
    """Its own last call ends after all others, and what it reads are the pixels."""

    @nn.compact
    def __call__(self, images):
        return Standardise(name='outer')(images)


class Standardise(nn.Module):
    @nn.compact
    def __call__(self, images):
        return Net(name='net')(images - 0.5)


class Scaled(nn.Module):
    """Layers with variables after the product: a norm, a temperature, a fixed matrix."""

    @nn.compact
    def __call__(self, images):
        x = Net(name='net')(images)
        x = nn.LayerNorm(name='norm')(x) * self.param('temperature', nn.initializers.ones, (1, 3))
        return x @ jnp.eye(3)


class Bare(nn.Module):
    """The product is of a parameter of the model itself."""

    @nn.compact
    def __call__(self, images):
        weights = self.param('weights', nn.initializers.normal(), (8, 3))
        return Trunk(name='trunk')(images) @ (weights / jnp.linalg.norm(weights))


class Compared(nn.Module):
    """Squared distances to centres."""

    @nn.compact
    def __call__(self, images):
        centres = self.param('centres', nn.initializers.normal(), (3, 8))
        return -jnp.sum(jnp.square(Trunk(name='trunk')(images)[:, None] - centres[None]), -1)


class Summed(nn.Module):
    """A product that is written out."""

    @nn.compact
    def __call__(self, images):
        weights = self.param('weights', nn.initializers.normal(), (3, 8))
        return jnp.sum(Trunk(name='trunk')(images)[:, None] * weights[None], -1)


class Convolved(nn.Module):
    """The classes are maps, averaged."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(5, (3, 3), name='conv1')(images))
        return nn.relu(Conv2D(3, 1, name='conv2')(x)).mean((1, 2))


class Scanned(nn.Module):
    """The same dense layer three times."""

    @nn.compact
    def __call__(self, images):
        x = Trunk(name='trunk')(images)
        scan = nn.scan(Again, variable_broadcast='params', split_rngs={'params': False}, length=3)
        return scan(name='again')(x, None)[0][:, :3]


class Again(nn.Module):
    @nn.compact
    def __call__(self, carry, _):
        return nn.relu(nn.Dense(8, name='dense')(carry)), None


class Recomputed(nn.Module):
    @nn.compact
    def __call__(self, images):
        return nn.remat(Net)(name='net')(images)


@pytest.mark.parametrize(
    ('model', 'said', 'shape', 'maps'),
    [
        (Net(), 'input of fc4', (8,), 'trunk/conv2'),
        (Wrapper(), 'input of outer/net/fc4', (8,), 'outer/net/trunk/conv2'),
        (Scaled(), 'input of net/fc4', (8,), 'net/trunk/conv2'),
        (Bare(), 'input of the last product', (8,), 'trunk/conv2'),
        (Compared(), 'input of the last product', (8,), 'trunk/conv2'),
        (Summed(), 'input of the last product', (8,), 'trunk/conv2'),
        (Convolved(), 'input of conv2', (8, 8, 5), 'conv2'),
        (Scanned(), 'input of again', (8,), 'trunk/conv2'),
        (Recomputed(), 'input of net/fc4', (8,), 'net/trunk/conv2'),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else '',
)
def test_they_are_found_on_the_way_to_the_scores(model, said, shape, maps):
    images = jnp.ones((2, 8, 8, 1))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images))
    net = scores.net_of(model, variables, images)
    name, number = last.last_hidden(net)
    assert net.program.types[number].shape == (2, *shape)
    assert name == said or isinstance(model, Scanned)
    assert last.last_map(net) == maps


@pytest.mark.parametrize(
    ('model', 'size', 'shape', 'maps'),
    [
        (lenet.VARIANTS['modern'](), (32, 32, 1), (84,), 'conv3'),
        (lenet.VARIANTS['faithful'](), (32, 32, 1), (84,), 'pool4'),
        (resnet.VARIANTS['cifar20'](width=0.25), (32, 32, 3), (16,), 'stage3_block3'),
    ],
)
def test_of_our_models(model, size, shape, maps):
    images = jnp.ones((2, *size))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    net = scores.net_of(model, variables, images)
    found = net.program.types[last.last_hidden(net)[1]].shape
    assert found[0] == 2
    assert found[-1] == shape[-1]
    assert last.last_map(net) == maps


def test_a_net_without_a_product_asks_for_a_layer():
    class Sums(nn.Module):
        @nn.compact
        def __call__(self, images):
            return images.mean((1, 2))

    with pytest.raises(CnnJaxError, match=r'no product of variables .* give --layer'):
        last.last_hidden(scores.net_of(Sums(), {}, jnp.ones((2, 4, 4, 3))))
