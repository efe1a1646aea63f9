"""LeNet-5 in both forms: counts, shapes, the parts that only the paper's form has, and errors."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false
# (Flax types the result of apply as Any or a pair, and numpy arrays stand in for JAX arrays.)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from cnn_jax import losses
from cnn_jax.data import augment
from cnn_jax.models import lenet
from cnn_jax.models.lenet import LeNet, LeNet1998


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def shapes(model, image_shape=(32, 32, 1)):
    return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, *image_shape)), train=False))


@pytest.fixture(scope='module')
def faithful_variables():
    return jax.jit(LeNet1998().init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))


FAITHFUL_COUNTS = {'conv1': 156, 'pool2': 12, 'conv3': 1516, 'pool4': 32, 'conv5': 48120, 'fc6': 10164}
MODERN_COUNTS = {'conv1': 156, 'conv3': 2416, 'conv5': 48120, 'fc6': 10164, 'output': 850}


@pytest.mark.parametrize(
    ('model', 'expected', 'total'),
    [(LeNet1998(), FAITHFUL_COUNTS, 60_000), (LeNet(), MODERN_COUNTS, 61_706)],
    ids=['faithful', 'modern'],
)
def test_parameter_counts(model, expected, total):
    params = shapes(model)['params']
    assert {name: count(layer) for name, layer in params.items()} == expected
    assert count(params) == total


def test_bitmaps_are_constants_and_not_parameters(faithful_variables):
    assert set(faithful_variables) == {'params', 'constants'}
    centres = np.asarray(faithful_variables['constants']['output']['centres'])
    assert centres.shape == (10, 84)
    assert set(np.unique(centres)) == {-1.0, 1.0}


def test_bitmaps_are_ten_different_pictures():
    bitmaps = lenet.digit_bitmaps()
    assert bitmaps.shape == (10, 12, 7)
    differing = (bitmaps[:, None] != bitmaps[None]).sum((2, 3))
    assert differing[~np.eye(10, dtype=bool)].min() >= 12  # pixels between the two most alike, 5 and 6
    assert (bitmaps[:, 10:] == -1).all()  # nothing below the line
    np.testing.assert_array_equal(bitmaps[8], bitmaps[8, :, ::-1])
    np.testing.assert_array_equal(bitmaps[0, :10], bitmaps[0, 9::-1])


def test_table_has_the_papers_structure():
    table = lenet.C3_TABLE
    assert [len(row) for row in table] == [3] * 6 + [4] * 9 + [6]
    assert len(set(table)) == 16
    uses = [sum(channel in row for row in table) for channel in range(6)]
    assert uses == [10] * 6  # each map of S2 feeds ten maps of C3
    # The first twelve are runs of neighbours on a ring of six; the next three leave out opposite pairs.
    assert [set(row) for row in table[:6]] == [{k, (k + 1) % 6, (k + 2) % 6} for k in range(6)]
    assert [set(row) for row in table[6:12]] == [{(k + n) % 6 for n in range(4)} for k in range(6)]
    assert sorted(sorted(set(range(6)) - set(row)) for row in table[12:15]) == [[0, 3], [1, 4], [2, 5]]


def test_table_convolution_is_one_convolution_per_map_over_its_inputs():
    layer = lenet.TableConv2D(lenet.C3_TABLE)
    images = jax.random.normal(jax.random.key(1), (2, 7, 7, 6))
    variables = jax.jit(layer.init)(jax.random.key(0), images)
    kernel, bias = (np.asarray(variables['params'][name], np.float64) for name in ('kernel', 'bias'))
    expected, start = np.zeros((2, 3, 3, 16)), 0
    for column, row in enumerate(lenet.C3_TABLE):
        weights = kernel[:, :, start : start + len(row)]
        start += len(row)
        for i in range(3):
            for j in range(3):
                window = np.asarray(images, np.float64)[:, i : i + 5, j : j + 5][..., list(row)]
                expected[:, i, j, column] = (window * weights).sum((1, 2, 3)) + bias[column]
    expected = 1.7159 * np.tanh(2 / 3 * expected)
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, images), expected, atol=2e-6)


def test_subsampling_adds_four_values_times_a_gain_plus_a_bias():
    images = jnp.arange(16.0).reshape(1, 4, 4, 1) / 16
    variables = {'params': {'scale': jnp.array([0.5]), 'bias': jnp.array([-0.25])}}
    sums = np.array([[10.0, 18.0], [42.0, 50.0]]) / 16
    expected = 1.7159 * np.tanh(2 / 3 * (0.5 * sums - 0.25))
    np.testing.assert_allclose(lenet.Subsample().apply(variables, images)[0, :, :, 0], expected, rtol=1e-6)


def test_scores_are_minus_squared_distances():
    layer = lenet.RBF()
    bitmaps = lenet.digit_bitmaps().reshape(10, 84)
    inputs = jnp.asarray(bitmaps[[3, 7]], jnp.float32)
    scores = layer.apply(layer.init(jax.random.key(0), inputs), inputs)
    expected = -4.0 * (bitmaps[[3, 7]][:, None] != bitmaps[None]).sum(-1)
    np.testing.assert_array_equal(scores, expected)


def test_squash_has_unit_fixed_points_and_pixels_have_the_papers_range():
    np.testing.assert_allclose(lenet.scaled_tanh(jnp.array([-1.0, 0.0, 1.0])), [-1, 0, 1], atol=1e-4)
    scaled = augment.to_range(None, jnp.array([0, 255], jnp.uint8), low=lenet.BACKGROUND, high=lenet.FOREGROUND)
    assert scaled.dtype == jnp.float32
    np.testing.assert_allclose(scaled, [-0.1, 1.175], rtol=1e-6)


def test_initial_values_are_within_the_papers_bounds(faithful_variables):
    params = jax.device_get(faithful_variables['params'])
    bounds = {'conv1': 2.4 / 25, 'pool2': 2.4 / 4, 'conv5': 2.4 / 400, 'fc6': 2.4 / 120}
    for name, bound in bounds.items():
        for leaf in jax.tree.leaves(params[name]):
            assert np.abs(leaf).max() <= bound
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(params[name])) > 0.7 * bound
    kernel = np.abs(params['conv3']['kernel']).max((0, 1))
    for part, fan_in in ((kernel[:18], 75), (kernel[18:54], 100), (kernel[54:], 150)):
        assert part.max() <= 2.4 / fan_in


@pytest.mark.parametrize('activation', ['relu', 'tanh'])
@pytest.mark.parametrize('pool', ['max', 'average'])
def test_options_of_the_modern_form(activation, pool):
    model = LeNet(num_classes=3, activation=activation, pool=pool)
    outputs = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), jnp.zeros((2, 32, 32, 3)))[0])
    assert outputs.shape == (2, 3)


@pytest.mark.parametrize('model', [LeNet1998(), LeNet()], ids=['faithful', 'modern'])
def test_larger_images_and_more_channels(model):
    variables = shapes(model, (40, 36, 2))
    assert variables['params']['fc6']['kernel'].shape == (3 * 2 * 120, 84)
    assert variables['params']['conv1']['kernel'].shape == (5, 5, 2, 6)


def test_28x28_images_are_refused_with_the_way_out_and_taken_with_padding():
    for model in (LeNet(), LeNet1998()):
        with pytest.raises(ValueError, match='28x28 images given, at least 32x32 needed; pad them'):
            shapes(model, (28, 28, 1))
    assert count(shapes(LeNet(conv1_padding=2), (28, 28, 1))['params']) == 61_706


def test_errors_of_options():
    with pytest.raises(ValueError, match=r"num_classes=11 given.*ten digits.*'modern'"):
        shapes(LeNet1998(num_classes=11))
    with pytest.raises(ValueError, match="activation='gelu' given; it is one of 'relu', 'tanh'"):
        shapes(LeNet(activation='gelu'))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="pool='mean' given; it is one of 'max', 'average'"):
        shapes(LeNet(pool='mean'))  # pyright: ignore[reportArgumentType]


def test_each_kernel_gets_a_gradient_under_the_papers_loss(faithful_variables):
    model = LeNet1998()
    images = jax.random.uniform(jax.random.key(1), (4, 32, 32, 1), minval=-0.1, maxval=1.175)
    labels = jnp.arange(4, dtype=jnp.int32)
    variables = faithful_variables

    @jax.jit
    def gradient(params, constants):
        scores = lambda p: model.apply({'params': p, 'constants': constants}, images, train=True)  # noqa: E731
        return jax.grad(lambda p: losses.lenet_map_loss(scores(p), labels).mean())(params)

    for path, leaf in jax.tree.leaves_with_path(gradient(variables['params'], variables['constants'])):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


def test_the_papers_form_runs_sharded_with_varying_parameters(faithful_variables):
    """The sparse kernel and the constants meet `check_vma`: as in a training step, all varying over 'data'."""
    mesh = Mesh(np.array(jax.devices()[:2]), ('data',))
    model = LeNet1998()
    images = jax.random.uniform(jax.random.key(1), (4, 32, 32, 1))
    variables = faithful_variables

    def step(variables, images):
        variables = jax.lax.pcast(variables, 'data', to='varying')
        params, constants = variables['params'], variables['constants']
        value = lambda p: model.apply({'params': p, 'constants': constants}, images).mean()  # noqa: E731
        return jax.lax.pmean(jax.grad(value)(params), 'data')

    spec, split = PartitionSpec(), PartitionSpec('data')
    sharded = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(spec, split), out_specs=spec, check_vma=True))
    whole = jax.jit(jax.grad(lambda p: model.apply({**variables, 'params': p}, images).mean()))(variables['params'])
    for expected, got in zip(jax.tree.leaves(whole), jax.tree.leaves(sharded(variables, images)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
