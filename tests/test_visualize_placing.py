"""Maps of a layer on the image: where its units look, or stretched as captum and torchvision's tools have it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.errors import CnnJaxError
from cnn_jax.layers import Conv2D, MaxPool
from cnn_jax.models import lenet
from cnn_jax.tracing import centres, receptive_field
from cnn_jax.visualize import cam, grad_cam, grad_cam_plus_plus, guided_backprop, guided_grad_cam
from cnn_jax.visualize.engine import placing

SHAPE = (30, 38, 3)


class Valid(nn.Module):
    """No padding: a stretched map of `conv2` lies beside what its units look at."""

    @nn.compact
    def __call__(self, images):
        x = MaxPool(2, name='pool1')(Conv2D(3, 5, activation=nn.relu, name='conv1')(images))
        x = Conv2D(4, 3, strides=2, activation=nn.relu, name='conv2')(x)
        return nn.Dense(2, name='output')(x.mean((1, 2)))


class Uneven(nn.Module):
    """Other steps for rows than for columns, holes, padding on one side, a residual addition."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(4, (3, 5), strides=(1, 2), padding=((0, 0), (3, 0)))(images))
        x = x + nn.Conv(4, (3, 3), kernel_dilation=2, padding=2)(x)
        x = Conv2D(4, (5, 1), strides=(2, 1), name='conv2')(x)
        return nn.Dense(2, name='output')(x.mean((1, 2)))


class ChannelsFirst(nn.Module):
    """The maps inside are (batch, channels, height, width)."""

    @nn.compact
    def __call__(self, images):
        x = Turned(name='conv2')(images)
        return nn.Dense(2, name='output')(x.mean((2, 3)))


class Turned(nn.Module):
    @nn.compact
    def __call__(self, images):
        return nn.relu(nn.Conv(4, (5, 5), strides=3, padding='VALID')(images)).transpose(0, 3, 1, 2)


class Gated(nn.Module):
    """Every unit sees the whole image."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(4, (3, 3))(images))
        x = Same(name='conv2')(x * nn.sigmoid(nn.Dense(4)(x.mean((1, 2))))[:, None, None])
        return nn.Dense(2, name='output')(x.mean((1, 2)))


class Same(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Conv(4, (1, 1))(x))


def made(model):
    images = jax.random.normal(jax.random.key(0), (2, *SHAPE))
    variables = model.init(jax.random.key(1), images)
    return model, jax.tree.map(lambda leaf: leaf + 0.03, variables), images


@pytest.mark.parametrize('model', [Valid(), Uneven(), ChannelsFirst()], ids=lambda model: type(model).__name__)
def test_centres_are_the_middles_of_what_the_units_see(model):
    """Against the boxes that the other reading of the program finds, unit by unit."""
    model, variables, _ = made(model)
    found = centres.centres_of(model, variables, SHAPE, 'conv2')
    assert found is not None
    if isinstance(model, ChannelsFirst):
        assert found.axes == (2, 3)
        np.testing.assert_allclose(found.rows, 2 + 3 * np.arange(9))
        return
    seen = receptive_field.seen_by(model, variables, SHAPE, 'conv2')
    row, column = len(found.rows) // 2, len(found.columns) // 2
    top, left, bottom, right = seen.box(row, column)
    assert (found.rows[row], found.columns[column]) == ((top + bottom - 1) / 2, (left + right - 1) / 2)
    lower = seen.box(row + 1, column)
    assert found.rows[row + 1] - found.rows[row] == lower[0] - top


@pytest.mark.parametrize('model', [Valid(), Uneven(), ChannelsFirst()], ids=lambda model: type(model).__name__)
def test_one_unit_is_brightest_at_its_centre(model):
    model, variables, _ = made(model)
    found = centres.centres_of(model, variables, SHAPE, 'conv2')
    assert found is not None
    row, column = len(found.rows) // 2, len(found.columns) // 2
    one = np.zeros((1, len(found.rows), len(found.columns), 1), np.float32)
    one[0, row, column] = 1
    large = np.asarray(placing.enlarged(jnp.asarray(one), SHAPE[:2], found))[0, ..., 0]
    assert large.shape == SHAPE[:2]
    place = [float((large.sum(1 - side) * np.arange(SHAPE[side])).sum() / large.sum()) for side in (0, 1)]
    np.testing.assert_allclose(place, [found.rows[row], found.columns[column]], atol=1e-4)
    constant = placing.enlarged(jnp.ones_like(one), SHAPE[:2], found)
    inside = np.asarray(constant)[0, round(found.rows[0]) : round(found.rows[-1]), SHAPE[1] // 2, 0]
    np.testing.assert_allclose(inside, 1, rtol=1e-6)  # between the centres a map of ones stays one


def test_a_pixel_beyond_the_cells_of_all_units_has_nothing():
    weights = placing.between(np.array([4.0, 8.0, 12.0]), 17)
    np.testing.assert_allclose(weights[4], [1, 0, 0])
    np.testing.assert_allclose(weights[5], [0.75, 0.25, 0])
    np.testing.assert_allclose(weights.sum(1), [0, 0] + [1] * 13 + [0, 0])
    np.testing.assert_allclose(placing.between(np.array([6.0]), 9), 1)  # one unit: everywhere
    np.testing.assert_allclose(placing.between(np.array([12.0, 8.0, 4.0]), 17), weights[:, ::-1])  # from the end


def half_pixel(maps, size):
    """Bilinear with half-pixel centres, the edges repeated: torch's `interpolate(..., align_corners=False)`."""
    for axis, length in zip((1, 2), size, strict=True):
        count = maps.shape[axis]
        places = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
        low = np.minimum(places.astype(int), count - 2)
        share = (places - low).reshape([-1 if n == axis else 1 for n in range(4)])
        maps = maps.take(low, axis) * (1 - share) + maps.take(low + 1, axis) * share
    return maps


@pytest.mark.parametrize('method', [cam, grad_cam, grad_cam_plus_plus])
def test_the_stretched_form_is_torchs(method):
    model, variables, images = made(Valid())
    small = np.asarray(method.attribute(model, variables, images, 0, upsample=False))
    found = np.asarray(method.attribute(model, variables, images, 0, placed='stretched'))
    np.testing.assert_allclose(found, half_pixel(small, SHAPE[:2]), rtol=1e-5, atol=1e-5 * np.abs(small).max())
    placed = np.asarray(method.attribute(model, variables, images, 0))
    assert np.abs(placed - found).max() > 0.1 * np.abs(found).max()
    assert not placed[:, 0].any()  # no unit looks at the first row
    with pytest.raises(CnnJaxError, match="placed: 'centre' given; it is 'fields' or 'stretched'"):
        method.attribute(model, variables, images, 0, placed='centre')


def test_guided_grad_cam_takes_the_same_map():
    model, variables, images = made(Valid())
    for placed in ('fields', 'stretched'):
        product = grad_cam.attribute(model, variables, images, 1, placed=placed)
        product = product * guided_backprop.attribute(model, variables, images, 1)
        found = guided_grad_cam.attribute(model, variables, images, 1, placed=placed)
        np.testing.assert_allclose(found, product, rtol=1e-6)


def test_where_nobody_knows_the_map_is_stretched_and_this_is_said():
    model, variables, images = made(Gated())
    maps = [grad_cam.attribute(model, variables, images, 0, placed=placed) for placed in ('fields', 'stretched')]
    np.testing.assert_array_equal(maps[0], maps[1])
    said = grad_cam.placement(model, variables, images, layer='conv2')
    assert said == 'stretched: the receptive fields are not known'
    model, variables, images = made(Valid())
    said = grad_cam.placement(model, variables, images, layer='conv2')
    assert said == 'at the centres of receptive fields; blank where no unit looks'


def test_maps_with_channels_first_are_those_of_channels_last():
    model, variables, images = made(ChannelsFirst())

    class Last(nn.Module):
        @nn.compact
        def __call__(self, images):
            x = Inner(name='conv2')(images)
            return nn.Dense(2, name='output')(x.mean((1, 2)))

    class Inner(nn.Module):
        @nn.compact
        def __call__(self, images):
            return nn.relu(nn.Conv(4, (5, 5), strides=3, padding='VALID')(images))

    expected = grad_cam.attribute(Last(), variables, images, 0)
    np.testing.assert_allclose(grad_cam.attribute(model, variables, images, 0), expected, rtol=1e-5, atol=1e-7)


def test_lenet_s_units():
    """conv3 of 32 x 32 digits sees 14 pixels in steps of 2: the first unit looks at 0 .. 13."""
    model = lenet.VARIANTS['modern']()
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)), train=False))
    found = centres.centres_of(model, variables, (32, 32, 1), 'conv3')
    assert found is not None
    np.testing.assert_allclose(found.rows, 6.5 + 2 * np.arange(10))
    np.testing.assert_allclose(found.columns, found.rows)
