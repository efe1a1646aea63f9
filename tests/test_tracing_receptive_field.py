"""What a unit sees: the pixels of an image, in any architecture. Fields of all units at once: `test_describe.py`."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.describe import layer_table
from cnn_jax.layers import Conv2D
from cnn_jax.models import googlenet, resnet
from cnn_jax.tracing import receptive_field


@pytest.mark.parametrize(
    ('model', 'size', 'layer', 'expected'),
    [
        (resnet.VARIANTS['cifar20'](width=0.1), 64, 'stage1_block2', 11),  # 3x3 five times
        (resnet.VARIANTS['cifar20'](width=0.1), 64, 'stage2_block1', 21),  # seven times, then 3x3 at stride 2 and 3x3
        (
            googlenet.VARIANTS['paper'](width=0.05, num_classes=4),
            96,
            'conv2',
            19,
        ),  # 7x7 at stride 2, pool 3x3 at stride 2, 1x1, 3x3
    ],
)
def test_receptive_fields_of_any_architecture(model, size, layer, expected):
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    seen = receptive_field.seen_by(model, variables, (size, size, 3), layer)
    assert seen.size == (expected, expected)
    top, left, bottom, right = seen.box(0, 0)
    assert (top, left) == (0, 0)
    assert bottom == right < expected


def test_dilated_fields_have_holes():
    class Dilated(nn.Module):
        @nn.compact
        def __call__(self, images):
            return Conv2D(2, 3, dilation_rate=2, name='conv1')(images)

    variables = jax.eval_shape(lambda: Dilated().init(jax.random.key(0), jnp.zeros((1, 9, 9, 1))))
    mask = receptive_field.seen_by(Dilated(), variables, (9, 9, 1), 'conv1').mask(1, 2)
    expected = np.zeros((9, 9), bool)
    expected[1:6:2, 2:7:2] = True
    np.testing.assert_array_equal(mask, expected)


def test_crops_at_the_edges_keep_their_size():
    image = np.arange(1, 26, dtype=np.uint8).reshape(5, 5, 1)
    corner = receptive_field.crop(image, (0, 3, 2, 5), (3, 3))[..., 0]
    np.testing.assert_array_equal(corner, [[0, 0, 0], [4, 5, 0], [9, 10, 0]])


class Squeezing(nn.Module):
    """Pools, an uneven convolution, an activation with a gradient of its own, and channels scaled by a mean of all."""

    @nn.compact
    def __call__(self, images):
        x = nn.silu(Conv2D(2, (3, 5), padding=(1, 2), name='conv1')(images))
        x = Conv2D(2, 2, 2, name='conv2')(nn.max_pool(x, (2, 2), (2, 2)))
        x = Conv2D(2, 1, name='local')(x)
        return Conv2D(2, 1, name='scaled')(x * nn.sigmoid(x.mean((1, 2), keepdims=True)))


def test_both_answers_are_one_where_no_edge_cuts():
    shape = (32, 40, 3)
    variables = jax.eval_shape(lambda: Squeezing().init(jax.random.key(0), jnp.zeros((1, *shape))))
    rows = {row.name: row for row in layer_table(Squeezing(), shape)}
    for name, expected in (('conv1', (3, 5)), ('local', (6, 8)), ('scaled', None)):
        seen = receptive_field.seen_by(Squeezing(), variables, shape, name)
        assert seen.size == (expected or shape[:2])
        if expected:
            assert rows[name].receptive_field == expected
            steps = np.subtract(seen.box(4, 5), seen.box(3, 4))
            assert tuple(steps) == (rows[name].stride or ()) * 2
