"""In which order the image meets variables, and that a shuffle of all leaves none: wherever the variables stand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.tracing import scores
from cnn_jax.tracing.meeting import owners_in_order
from cnn_jax.visualize import honesty
from cnn_jax.visualize.engine.shuffling import shuffled


class Block(nn.Module):
    @nn.compact
    def __call__(self, carry, _):
        return nn.relu(nn.Conv(4, (3, 3), name='conv')(carry)), None


class Net(nn.Module):
    """A parameter of the model, a scan over four blocks, a method that is no `__call__`, one without a use."""

    def setup(self):
        self.gains = self.param('gains', nn.initializers.normal(), (8, 8, 1))
        scan = nn.scan(Block, variable_axes={'params': 0}, split_rngs={'params': True}, length=4)
        self.blocks = scan()
        self.head = Head()

    def __call__(self, images):
        x = jnp.tile(images * self.gains[None], (1, 1, 1, 4))
        x, _ = self.blocks(x, None)
        return self.head.classify(x.mean((1, 2)))


class Head(nn.Module):
    def setup(self):
        self.weights = self.param('weights', nn.initializers.normal(), (4, 3))
        self.unused = self.param('unused', nn.initializers.normal(), (4, 3))

    def classify(self, features):
        return features @ self.weights


def test_variables_outside_of_called_modules_and_in_scans_are_met():
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    variables = Net().init(jax.random.key(1), images)
    net = scores.net_of(Net(), variables, images)
    assert owners_in_order(net, variables) == ['', 'blocks/conv', 'head']
    arrays = honesty.visualize(Net(), variables, images=images, method='gradient', num_steps=2)
    assert list(arrays['layers']) == ['trained', 'head', 'blocks/conv', '(the model itself)']
    changed = jax.tree.map(lambda a, b: bool((np.asarray(a) != b).any()), variables, shuffled(variables, None, 0))
    flags = {jax.tree_util.keystr(path): flag for path, flag in jax.tree.leaves_with_path(changed)}
    assert all(flag for path, flag in flags.items() if 'bias' not in path)  # biases are zeros


def test_each_group_of_images_has_a_shuffle_of_its_own():
    images = jax.random.normal(jax.random.key(0), (honesty.TOGETHER + 2, 8, 8, 1))
    variables = Net().init(jax.random.key(1), images)
    asked = []

    def random(number):
        asked.append(number)
        return shuffled(variables, None, number)

    arrays = honesty.visualize(Net(), variables, images=images, method='gradient', num_steps=2, random=random)
    assert asked == [0, 1]
    assert arrays['correlation'].shape == (4, len(images))
    assert arrays['insertion_score'].shape == (len(images),)
