"""What every operation keeps: jit, grad, vmap, bfloat16, float64, no transfers, and shard_map with checked types."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from cnn_jax import ops
from cnn_jax.ops import filters

BATCH = 8  # one image per virtual device

# name: (function of images and weights, shape of one image, shapes of the weights)
OPERATIONS = {
    'plain': (lambda x, k: ops.conv2d(x, k, padding=1), (6, 6, 3), (3, 3, 3, 4)),
    'pointwise': (lambda x, k: ops.conv2d(x, k, stride=2), (5, 5, 3), (1, 1, 3, 4)),
    'one_window': (lambda x, k: ops.conv2d(x, k), (3, 3, 3), (3, 3, 3, 4)),
    'small_map': (lambda x, k: ops.conv2d(x, k, padding=1), (2, 2, 3), (3, 3, 3, 4)),
    'one_channel': (lambda x, k: ops.conv2d(x, k), (7, 7, 1), (3, 3, 1, 4)),
    'few_channels': (lambda x, k: ops.conv2d(x, k), (9, 9, 2), (5, 5, 2, 20)),
    'batch_minor': (lambda x, k: ops.conv2d(x, k, padding=1, bias=k[0, 0, 0]), (9, 8, 2), (5, 5, 2, 4)),
    'bias': (lambda x, k: ops.conv2d(x, k, bias=k[0, 0, 0]), (6, 6, 3), (3, 3, 3, 4)),
    'winograd': (lambda x, k: ops.conv2d(x, k / 32, padding=1), (29, 28, 96), (3, 3, 96, 96)),
    'depthwise': (lambda x, k: ops.depthwise_conv2d(x, k, padding=1), (5, 5, 3), (3, 3, 3, 2)),
    'grouped': (lambda x, k: ops.conv2d(x, k, padding=1, groups=2), (5, 5, 8), (3, 3, 4, 4)),
    'separable': (lambda x, k: ops.separable_conv2d(x, k, k[:1, :2].reshape(1, 1, 4, 2)), (5, 5, 2), (3, 3, 2, 2)),
    'transpose': (lambda x, k: ops.conv2d_transpose(x, k, stride=2), (3, 3, 3), (3, 3, 4, 3)),
    'max_pool_2': (lambda x, _: ops.max_pool(x, window=2), (6, 6, 8), None),
    'max_pool_2_few': (lambda x, _: ops.max_pool(x, window=2), (6, 6, 3), None),
    'max_pool_3': (lambda x, _: ops.max_pool(x, window=3, stride=2, padding=1), (6, 6, 3), None),
    'max_pool_ceil': (lambda x, _: ops.max_pool(x, window=3, stride=2, ceil_mode=True), (6, 6, 3), None),
    'avg_pool_2_few': (lambda x, _: ops.avg_pool(x, window=2), (7, 6, 3), None),
    'avg_pool': (lambda x, _: ops.avg_pool(x, window=3, stride=2, padding=1, count_padding=False), (6, 6, 3), None),
    'adaptive': (lambda x, _: ops.adaptive_avg_pool(x, output_size=4), (6, 6, 3), None),
    'global': (lambda x, _: ops.global_avg_pool(x), (6, 6, 3), None),
    'l2_pool': (lambda x, _: ops.l2_pool(x, window=2), (6, 6, 3), None),
    'response': (lambda x, _: ops.local_response_norm(x), (3, 3, 7), None),
    'contrast': (lambda x, _: ops.local_contrast_norm(x, window=3), (6, 6, 3), None),
    'batch_norm': (lambda x, k: ops.batch_norm(x, k[0], k[1], k[2], 1 + k[3] ** 2), (3, 3, 5), (4, 5)),
    'instance_norm': (lambda x, k: ops.instance_norm(x, k[0], k[1]), (4, 3, 5), (2, 5)),
    'pixel_shuffle': (lambda x, _: ops.pixel_shuffle(x, scale=2), (3, 4, 8), None),
    'bicubic': (lambda x, _: ops.bicubic(x, scale=2), (4, 5, 3), None),
    'correlate': (lambda x, _: filters.correlate2d(x, filters.gaussian(3, sigma=1)), (6, 6, 3), None),
    'convolve': (lambda x, _: filters.convolve2d(x, filters.SOBEL_X), (6, 6, 3), None),
    'sobel': (lambda x, _: filters.sobel(x)[2], (6, 6, 3), None),
}
WITH_WEIGHTS = [name for name in OPERATIONS if OPERATIONS[name][2]]


def arrays(name: str, dtype: str = 'float32') -> tuple[jax.Array, jax.Array]:
    """Returns images and weights."""
    _, image, weights = OPERATIONS[name]
    rng = np.random.default_rng(0)
    images, kernel = (rng.standard_normal(s).astype(dtype) for s in ((BATCH, *image), weights or (1,)))
    return jax.device_put((images, kernel))


def everything(name: str, images: jax.Array, weights: jax.Array):
    """Returns outputs and both gradients of sum(sin(outputs))."""
    outputs, pull = jax.vjp(OPERATIONS[name][0], images, weights)
    return outputs, *pull(jnp.cos(outputs))


@functools.cache
def expected(name: str) -> list[np.ndarray]:
    with ops.implementation('lax'):
        return [np.asarray(a) for a in jax.jit(functools.partial(everything, name))(*arrays(name))]


def assert_equal(ours, name: str) -> None:
    for a, b in zip(ours, expected(name), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_every_operation_on_images_is_here():
    """But those that a batch changes, which `test_ops_norm` and `test_ops_precision` have."""
    called = {name for function, *_ in OPERATIONS.values() for name in function.__code__.co_names}
    for module in (ops, filters):
        for name in getattr(module, '__all__', dir(module)):
            function = getattr(module, name)
            if inspect.isfunction(function) and next(iter(inspect.signature(function).parameters), None) == 'images':
                assert name in called | {'batch_norm_training'}, f'{name} has no entry in OPERATIONS'


@pytest.mark.parametrize('name', OPERATIONS)
def test_jit_without_transfers(name):
    function = jax.jit(functools.partial(everything, name))
    given = jax.device_put(arrays(name))
    with jax.transfer_guard('disallow'):
        ours = function(*given)
    assert_equal(ours, name)


@pytest.mark.parametrize('name', OPERATIONS)
@pytest.mark.parametrize('varying', [False, True])
def test_shard_map_with_checked_types(name, varying):
    if varying and name not in WITH_WEIGHTS:
        pytest.skip('has no weights')
    images, weights = jax.device_get(arrays(name))
    mesh = jax.make_mesh((BATCH,), ('data',), axis_types=(AxisType.Auto,))
    spec = P('data') if varying else P()
    each = np.tile(weights, (BATCH,) + (1,) * (weights.ndim - 1)) if varying else weights
    mapped = jax.shard_map(
        functools.partial(everything, name),
        mesh=mesh,
        in_specs=(P('data'), spec),
        out_specs=(P('data'), P('data'), spec),
        check_vma=True,
    )
    outputs, of_images, of_weights = jax.device_get(jax.jit(mapped)(images, each))
    if varying:  # each device has its own weights: their gradients add up to the shared ones'
        of_weights = of_weights.reshape(BATCH, *weights.shape).sum(0)
    assert_equal((outputs, of_images, of_weights), name)


@pytest.mark.parametrize('name', OPERATIONS)
def test_vmap(name):
    images, weights = arrays(name)
    mapped = jax.vmap(lambda x, w: everything(name, x[None], w), (0, None))
    outputs, of_images, of_weights = jax.device_get(jax.jit(mapped)(images, weights))
    assert_equal((outputs[:, 0], of_images[:, 0], of_weights.sum(0)), name)


@pytest.mark.parametrize('name', OPERATIONS)
def test_types(name):
    ours = jax.jit(functools.partial(everything, name))(*arrays(name, 'bfloat16'))
    assert {a.dtype for a in ours} == {jnp.dtype(jnp.bfloat16)}
    np.testing.assert_allclose(np.asarray(ours[0], np.float32), expected(name)[0], rtol=0.1, atol=0.1)
    with jax.enable_x64(True):
        shapes = [jax.ShapeDtypeStruct(a.shape, 'float64') for a in arrays(name)]
        assert {a.dtype for a in jax.eval_shape(functools.partial(everything, name), *shapes)} == {np.dtype('float64')}


@pytest.mark.parametrize('name', OPERATIONS)
def test_an_empty_batch(name):
    images, weights = arrays(name)
    everything_of_none = jax.jit(functools.partial(everything, name))
    outputs, of_images, of_weights = jax.device_get(everything_of_none(np.asarray(images)[:0], weights))
    assert outputs.size == 0
    assert of_images.shape == (0, *images.shape[1:])
    assert not np.any(of_weights)


@pytest.mark.parametrize('name', ['small_map', 'winograd', 'depthwise', 'batch_minor', 'max_pool_3'])
def test_a_tpu_keeps_the_operations_of_xla(name):
    text = lowered(name, 'tpu')
    if name == 'max_pool_3':
        assert 'select_and_scatter' in text
    else:
        assert text.count('stablehlo.convolution') == 3


@pytest.mark.parametrize('name', ['small_map', 'winograd', 'depthwise', 'batch_minor'])
def test_a_gpu_keeps_the_convolutions_of_xla(name):
    assert lowered(name, 'cuda').count('stablehlo.convolution') == 3


@pytest.mark.parametrize('name', ['max_pool_2', 'max_pool_3'])
def test_a_gpu_scatters_no_maxima(name):
    assert 'select_and_scatter' not in lowered(name, 'cuda')


def lowered(name, platform):
    traced = jax.jit(functools.partial(everything, name)).trace(*arrays(name))
    return traced.lower(lowering_platforms=(platform,)).as_text()
