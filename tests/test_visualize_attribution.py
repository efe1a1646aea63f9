"""What every attribution method promises, the closed forms of each, and the contract of the files."""

import ast
import functools
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from demands import demand, refused
from forms import few, sound
from numpy_net import drawn

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import affine, last, scores
from cnn_jax.tracing import program as programs
from cnn_jax.visualize import (
    cam,
    grad_cam,
    gradient,
    gradient_times_input,
    guided_backprop,
    guided_grad_cam,
    integrated_gradients,
    occlusion,
    smooth_grad,
)
from cnn_jax.visualize.engine import methods

ATTRIBUTIONS = [name for name, module in sound('method').items() if hasattr(module, 'attribute')]
LAYERS = {'cam': {'layer': 'conv2'}}


class Net(nn.Module):
    """Two convolutions, one pool, a global average, a dense layer: CAM is allowed."""

    dtype: Any = None

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.relu(nn.Conv(4, (3, 3), dtype=self.dtype, name='conv1')(images))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = Stage(self.dtype, name='conv2')(x)
        return nn.Dense(3, dtype=self.dtype, name='output')(x.mean((1, 2)))


class Stage(nn.Module):
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(5, (3, 3), dtype=self.dtype)(x)
        return nn.relu(nn.BatchNorm(use_running_average=True, dtype=self.dtype)(x))


class Linear(nn.Module):
    @nn.compact
    def __call__(self, images):
        return nn.Dense(3, use_bias=False, name='output')(images.reshape(len(images), -1))


@pytest.fixture(scope='module')
def net():
    images = jax.random.normal(jax.random.key(0), (3, 10, 12, 3))
    model = Net()
    return model, jax.jit(functools.partial(model.init, train=False))(jax.random.key(1), images), images


def run(name, model, variables, images, targets=None, **options):
    attribute = methods.load(name).attribute
    return attribute(model, variables, images, targets, **(few(attribute) | LAYERS.get(name, {}) | options))


def test_no_method_opens_pyplot():
    for path in Path(methods.__file__).parent.parent.rglob('*.py'):
        imported = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import)]
        assert not any('pyplot' in alias.name for node in imported for alias in node.names)


@pytest.mark.parametrize('name', ATTRIBUTIONS)
def test_a_batch_gives_what_its_images_give_alone_and_chunks_change_nothing(name, net):
    model, variables, images = net
    before = jax.tree.map(np.array, variables)
    whole = np.asarray(run(name, model, variables, images))
    form = f'{name}: a map is (batch, height, width, 1 or channels), over the pixels'
    assert whole.shape[:3] == images.shape[:3], form
    assert whole.shape[3] in (1, 3), form
    assert whole.dtype == np.float32, f'{name}: a map is float32 where the images are'
    atol = 1e-5 * float(np.abs(whole).max())
    np.testing.assert_allclose(
        run(name, model, variables, images, chunk=2), whole, rtol=1e-4, atol=atol, err_msg=demand(name, 'alone')
    )
    alone = run(name, model, variables, images[1:2])
    np.testing.assert_allclose(alone, whole[1:2], rtol=1e-4, atol=atol, err_msg=demand(name, 'alone'))
    unchanged = functools.partial(np.testing.assert_array_equal, err_msg=demand(name, 'changed'))
    jax.tree.map(unchanged, before, variables)


@pytest.mark.parametrize('name', ATTRIBUTIONS)
def test_float64_stays_float64(name, net):
    model, variables, images = net
    single = np.asarray(run(name, model, variables, images[1:2]))
    with jax.enable_x64(True):
        doubles = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), (variables, images[1:2]))
        double = np.asarray(run(name, model, *doubles))
    assert (single.dtype, double.dtype) == (np.float32, np.float64), demand(name, 'double')
    if name != 'smooth_grad':  # its noise is drawn in the dtype of the image
        atol = 1e-5 * float(np.abs(double).max())
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=atol, err_msg=demand(name, 'double'))


@pytest.mark.parametrize('name', ATTRIBUTIONS)
def test_a_net_that_computes_in_16_bits_has_maps_in_32(name, net):
    _, variables, images = net
    whole = np.asarray(run(name, Net(), variables, images))
    coarse = np.asarray(run(name, Net(dtype='bfloat16'), variables, images))
    assert coarse.dtype == np.float32, demand(name, 'half')
    assert np.linalg.norm(coarse - whole) < 0.1 * np.linalg.norm(whole), demand(name, 'half')


@pytest.mark.parametrize('name', ATTRIBUTIONS)
def test_dead_nets_and_constant_images_give_zeros_and_no_nan(name, net):
    model, variables, images = net
    dead = jax.tree.map(lambda leaf: leaf, variables)
    dead['params']['conv1']['bias'] = jnp.full(4, -1e3)
    dead['params']['conv2']['Conv_0']['bias'] = jnp.full(5, -1e3)
    found = np.asarray(run(name, model, dead, images))
    # The deconvnet sends back through ReLUs that are off: that is its rule.
    assert np.isfinite(found).all() if name == 'deconvnet' else not np.any(found), demand(name, 'dead')
    for value in (0.0, 1.0):
        constant = run(name, model, variables, jnp.full_like(images, value))
        assert np.isfinite(constant).all(), demand(name, 'constant')


@pytest.mark.parametrize('name', ATTRIBUTIONS)
def test_wrong_arguments_are_said(name, net):
    model, variables, images = net
    with refused(name, 'layer', r"unknown layer: 'conv3'; choose from: conv"):
        run(name, model, variables, images, layer='conv3')
    with refused(name, 'target', 'class is 0 to'):
        run(name, model, variables, images, 3)
    with refused(name, 'target', 'targets: shape'):
        run(name, model, variables, images, [1, 2])
    with refused(name, 'pixels', 'preprocessed'):
        run(name, model, variables, np.zeros((1, 10, 12, 3), np.uint8))


@pytest.mark.parametrize(
    'name', ['gradient', 'gradient_times_input', 'integrated_gradients', 'smooth_grad', 'occlusion']
)
def test_a_linear_model_has_its_weights_for_an_explanation(name):
    images = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    model = Linear()
    variables = drawn(model, images)
    weights = np.asarray(variables['params']['output']['kernel'])[:, 2].reshape(1, 4, 4, 1)
    products = weights * np.asarray(images)
    expected = products if name in ('gradient_times_input', 'integrated_gradients', 'occlusion') else weights
    options = {'window': 1, 'stride': 1} if name == 'occlusion' else {}
    found = run(name, model, variables, images, 2, **options)
    np.testing.assert_allclose(found, np.broadcast_to(expected, images.shape), rtol=2e-4, atol=2e-6)


def test_integrated_gradients_sum_to_the_difference_of_the_scores(net):
    model, variables, images = net
    found = integrated_gradients.attribute(model, variables, images, 1, baseline=0.2, steps=64)
    ends = [model.apply(variables, x, train=False)[:, 1] for x in (images, jnp.full_like(images, 0.2))]
    np.testing.assert_allclose(np.sum(found, (1, 2, 3)), ends[0] - ends[1], atol=3e-3 * np.abs(ends[0]).max())


def test_the_completeness_of_integrated_gradients_is_known(net):
    """The error is what is missing to the difference of the scores, of a class and of a unit of a layer."""
    model, variables, images = net
    for steps, layer in ((1, None), (64, None), (64, 'conv2')):
        maps = integrated_gradients.attribute(model, variables, images, 1, steps=steps, baseline=0.2, layer=layer)
        found = integrated_gradients.completeness(model, variables, images, maps, 1, baseline=0.2, layer=layer)
        sums = np.sum(maps, (1, 2, 3))
        np.testing.assert_allclose(found.error, sums - found.difference, rtol=1e-5, atol=1e-6)
        if layer is None:
            ends = [model.apply(variables, x, train=False)[:, 1] for x in (images, jnp.full_like(images, 0.2))]
            np.testing.assert_allclose(found.difference, ends[0] - ends[1], rtol=1e-4, atol=1e-5)
        if steps > 1:
            assert np.abs(found.error).max() < 0.05 * np.abs(found.difference).max()


def test_smooth_grad_without_noise_is_the_gradient_and_its_seed_decides(net):
    model, variables, images = net
    plain = gradient.attribute(model, variables, images, 0)
    found = smooth_grad.attribute(model, variables, images, 0, samples=2, noise_level=0.0)
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-6)
    noisy = [smooth_grad.attribute(model, variables, images, 0, samples=2, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert np.abs(noisy[0] - noisy[2]).max() > 0
    squared = smooth_grad.attribute(model, variables, images, 0, samples=2, noise_level=0.0, squared=True)
    np.testing.assert_allclose(squared, np.square(plain), rtol=1e-4, atol=1e-8)


def test_points_are_mixed_after_the_affine_first_steps(net):
    """Against the same means taken point by point; SmoothGrad's noise does not sum to 1 with the image."""
    model, variables, images = net
    traced = scores.net_of(model, variables, images)
    program = programs.prune(traced.program, [traced.output(None)])
    shapes = [traced.program.types[number].shape for number in affine.frontier(program, traced.images)]
    assert shapes == [(3, 10, 12, 4)]  # the input of the first ReLU
    nodes, weights = np.polynomial.legendre.leggauss(3)
    ends = [gradient.attribute(model, variables, 0.3 + (node + 1) / 2 * (images - 0.3), 1) for node in nodes]
    expected = (images - 0.3) * sum(weight / 2 * end for weight, end in zip(weights, ends, strict=True))
    found = integrated_gradients.attribute(model, variables, images, 1, baseline=0.3, steps=3)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    keys = [jax.random.fold_in(jax.random.key(4), sample) for sample in range(2)]
    noise = np.stack([jax.random.normal(key, (10, 12, 3)) for key in keys])
    noise = noise[:, None] * 0.15 * np.ptp(images, axis=(1, 2, 3), keepdims=True)[None]
    expected = np.mean([gradient.attribute(model, variables, images + one, 1) for one in noise], 0)
    found = smooth_grad.attribute(model, variables, images, 1, samples=2, seed=4)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def scores_of(model, variables, images) -> Any:
    return model.apply(variables, jnp.asarray(images))


def test_gradient_against_finite_differences():
    class Curved(nn.Module):
        @nn.compact
        def __call__(self, images):
            return jnp.tanh(nn.Dense(3)(images.reshape(len(images), -1)))

    with jax.enable_x64(True):
        images = np.random.default_rng(0).normal(size=(1, 3, 2, 1))
        variables = drawn(Curved(), images)
        found = np.asarray(gradient.attribute(Curved(), variables, images, 1))
        assert found.dtype == np.float64
        for place in np.ndindex(images.shape):
            step = np.zeros_like(images)
            step[place] = 1e-5
            ends = [scores_of(Curved(), variables, images + sign * step)[0, 1] for sign in (1, -1)]
            difference: Any = ends[0] - ends[1]
            assert found[place] == pytest.approx(float(difference) / 2e-5, rel=1e-5, abs=1e-9)


def test_grad_cam_is_cam_where_a_dense_layer_reads_the_mean(net):
    model, variables, images = net
    maps = scores.read(model, variables, images, ('conv2',))[0]
    weights = variables['params']['output']['kernel'][:, 1]
    expected = np.asarray((maps * weights.reshape(1, 1, 1, -1)).sum(-1, keepdims=True))
    found = cam.attribute(model, variables, images, 1, upsample=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    other = grad_cam.attribute(model, variables, images, 1, relu=False, upsample=False)
    np.testing.assert_allclose(other * maps[0, ..., 0].size, expected, rtol=1e-4, atol=1e-5)
    logits = model.apply(variables, images, train=False)
    bias = variables['params']['output']['bias'][1]
    np.testing.assert_allclose(found.mean((1, 2, 3)) + bias, logits[:, 1], rtol=1e-4)
    assert float(grad_cam.attribute(model, variables, images, 1).min()) >= 0


def test_cam_is_refused_where_the_net_does_not_allow_it(net):
    model, variables, images = net
    with pytest.raises(CnnJaxError, match=r"cam: the net does not allow it at 'conv1'.*use grad_cam"):
        cam.attribute(model, variables, images, layer='conv1')


def test_a_channel_that_the_score_does_not_read_has_no_weight(net):
    model, variables, images = net
    variables = jax.tree.map(lambda leaf: leaf, variables)
    kernel = variables['params']['output']['kernel']
    variables['params']['output']['kernel'] = kernel.at[2:].set(0)
    maps, gradients = grad_cam.maps_and_gradients(model, variables, images, 0, 'conv2')
    assert maps.shape == (3, 5, 6, 5)
    assert np.any(gradients[..., :2])
    assert not np.any(gradients[..., 2:])


def test_guided_grad_cam_is_the_product(net):
    model, variables, images = net
    product = grad_cam.attribute(model, variables, images, 2) * guided_backprop.attribute(model, variables, images, 2)
    np.testing.assert_allclose(guided_grad_cam.attribute(model, variables, images, 2), product, rtol=1e-6)
    assert gradient_times_input.attribute(model, variables, images).shape == images.shape


class Box(nn.Module):
    """Sums the pixels of one box."""

    @nn.compact
    def __call__(self, images):
        inside = images[:, 4:6, 3:5].sum((1, 2, 3)).reshape(-1, 1)
        return jnp.concatenate([inside, jnp.zeros_like(inside)], 1)


def test_occlusion_of_a_box_sum_touches_only_windows_that_meet_the_box():
    images = jnp.ones((1, 9, 8, 2))
    found = np.asarray(occlusion.attribute(Box(), {}, images, 0, window=3, stride=2))[0, ..., 0]
    expected, covers = np.zeros((9, 8)), np.zeros((9, 8))
    for top in range(0, 7, 2):  # ceil((9 - 3) / 2) + 1 windows
        for left in range(0, 7, 2):  # ceil((8 - 3) / 2) + 1, the last one cut at the edge
            rows, columns = slice(top, top + 3), slice(left, left + 3)
            met = np.zeros((9, 8))
            met[rows, columns] = 1
            expected[rows, columns] += 2 * met[4:6, 3:5].sum()
            covers[rows, columns] += 1
    np.testing.assert_allclose(found, expected / covers, rtol=1e-6)
    assert not np.any(occlusion.attribute(Box(), {}, images, 0, window=3, stride=2, baseline=images))
    with pytest.raises(CnnJaxError, match='stride <= window'):
        occlusion.attribute(Box(), {}, images, 0, window=3, stride=4)


def test_occlusion_panels_agree_with_a_covered_image(net):
    model, variables, images = net
    seen = occlusion.look(model, variables, images, 1, window=(4, 5), stride=(3, 5), chunk=4)
    assert seen.score.shape == seen.label.shape == seen.strongest_map.shape == (3, 3, 3)
    covered = images.at[:, 3:7, 5:10].set(0)
    logits = model.apply(variables, covered, train=False)
    np.testing.assert_allclose(seen.score[:, 1, 1], logits[:, 1], rtol=1e-4)
    np.testing.assert_allclose(seen.probability[:, 1, 1], jax.nn.softmax(logits)[:, 1], rtol=1e-4)
    np.testing.assert_array_equal(seen.label[:, 1, 1], logits.argmax(1))


def test_units_of_layers(net):
    model, variables, images = net
    maps = np.asarray(scores.read(model, variables, images, ('conv2',))[0])
    channel = int(maps.reshape(3, -1, 5).max(1).min(0).argmax())  # on in all images
    row, column = np.unravel_index(maps[0, ..., channel].argmax(), maps.shape[1:3])
    by_channel = gradient.attribute(model, variables, images[:1], channel, layer='conv2')
    by_place = gradient.attribute(model, variables, images[:1], [[row, column, channel]], layer='conv2')
    np.testing.assert_array_equal(by_channel, by_place)
    values = scores.gradients(model, variables, images, layer='conv2')[1]
    np.testing.assert_allclose(values, maps.reshape(3, -1).max(1), rtol=1e-6)


class Deep(nn.Module):
    """Four equal convolutions and a small head."""

    @nn.compact
    def __call__(self, images):
        for number in range(1, 5):
            images = nn.relu(nn.Conv(16, (3, 3), name=f'conv{number}')(images))
        return nn.Dense(3, name='output')(images.mean((1, 2)))


def test_the_net_is_cut_above_the_layer():
    """Each convolution costs its multiply-adds forward and again for its inputs; what lies above costs nothing."""
    images, model = jnp.ones((1, 8, 8, 16)), Deep()
    variables = drawn(model, images)

    def flops(layer):
        compiled = scores._gradients.lower(scores.Static(model), variables, images, None, layer=layer, rule=None)
        return compiled.compile().cost_analysis()['flops']  # pyright: ignore[reportOptionalSubscript]

    whole, one, two = flops(None), flops('conv1'), flops('conv2')
    assert one < 0.3 * whole
    assert one < 0.6 * two


def test_another_checkpoint_costs_no_compilation(net):
    model, variables, images = net
    gradient.attribute(model, variables, images)
    compiled: Any = scores._gradients
    before = compiled._cache_size(), scores._net_of_shapes.cache_info().misses
    other = jax.tree.map(lambda leaf: 2 * leaf, variables)
    gradient.attribute(Net(), other, images)  # an equal model is the same model
    assert (compiled._cache_size(), scores._net_of_shapes.cache_info().misses) == before


def test_layers_are_named_as_in_the_model(net):
    model, variables, images = net
    found = scores.net_of(model, variables, images)
    assert list(found.layers) == ['conv1', 'conv2/Conv_0', 'conv2/BatchNorm_0', 'conv2', 'output']
    assert last.last_map(found) == 'conv2'
    assert last.last_hidden(found)[0] == 'input of output'
    post = scores.read(model, variables, images, ('conv2',))[0]
    assert float(post.min()) == 0  # after its activation


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_more_points_are_no_worse_in_half_precision(dtype):
    """The gradient of a linear net is the same everywhere: what is off is the sum. In bfloat16 it was off by 0.3."""
    images = jax.random.uniform(jax.random.key(0), (1, 2, 2, 1), dtype) + 1
    model = Linear()
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype), drawn(model, images))
    kernel = np.asarray(variables['params']['output']['kernel'], np.float64)[:, 0].reshape(images.shape)
    unit = float(jnp.finfo(dtype).eps)
    for method in ('integrated_gradients', 'smooth_grad'):
        for count in (10, 1000):
            count = {'steps': count} if method == 'integrated_gradients' else {'samples': count}
            found = methods.load(method).attribute(model, variables, images, 0, **count)
            expected = kernel * np.float64(images) if method == 'integrated_gradients' else kernel
            assert found.dtype == images.dtype
            np.testing.assert_allclose(np.float64(found), expected, rtol=1.5 * unit)
