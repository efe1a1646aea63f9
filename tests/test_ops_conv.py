"""Convolutions against scipy, explicit loops, XLA's own and finite differences."""

import itertools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from jax.test_util import check_grads

from cnn_jax import ops
from cnn_jax.ops.teaching import loops


def arrays(*shapes: tuple[int, ...], dtype: str = 'float32') -> list[jax.Array]:
    """Returns reproducible standard normal arrays of these shapes."""
    rng = np.random.default_rng(zlib.crc32(str(shapes).encode()))
    return [jnp.asarray(rng.standard_normal(shape).astype(dtype)) for shape in shapes]


def torch_style_loop(images, kernel, stride, pads, dilation, groups):
    """An explicit loop over every argument: rows, columns, groups and taps."""
    padded = np.pad(images, ((0, 0), *pads, (0, 0)))
    height, width, per_group, filters = kernel.shape
    rows = (padded.shape[1] - (height - 1) * dilation[0] - 1) // stride[0] + 1
    columns = (padded.shape[2] - (width - 1) * dilation[1] - 1) // stride[1] + 1
    outputs = np.zeros((images.shape[0], rows, columns, filters))
    for y, x, i, j, g in itertools.product(range(rows), range(columns), range(height), range(width), range(groups)):
        pixels = padded[:, y * stride[0] + i * dilation[0], x * stride[1] + j * dilation[1]]
        inside = slice(g * per_group, (g + 1) * per_group)
        made = slice(g * filters // groups, (g + 1) * filters // groups)
        outputs[:, y, x, made] += pixels[:, inside] @ kernel[i, j, :, made]
    return outputs


@pytest.mark.parametrize('padding', ['valid', 'same'])
def test_values_are_those_of_scipy(padding):
    images, kernel = arrays((2, 9, 8, 3), (3, 3, 3, 4))
    ours = ops.conv2d(images, kernel, padding=padding)
    for n, o in itertools.product(range(2), range(4)):
        parts = [scipy.signal.correlate(images[n, :, :, c], kernel[:, :, c, o], mode=padding) for c in range(3)]
        np.testing.assert_allclose(ours[n, :, :, o], sum(parts), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('size', 'window', 'groups', 'arguments'),
    [
        ((6, 7), (3, 3), 1, {}),
        ((6, 7), (3, 2), 1, {'stride': (2, 1), 'padding': 1}),
        ((9, 8), (3, 3), 1, {'dilation': 2, 'padding': (2, 1)}),
        ((9, 8), (3, 3), 1, {'dilation': (1, 2), 'stride': 2, 'padding': ((1, 0), (2, 1))}),
        ((6, 6), (3, 3), 2, {'stride': 2, 'dilation': 2, 'padding': 2}),
        ((5, 5), (1, 1), 1, {'stride': 2}),
        ((2, 2), (3, 3), 1, {'padding': 1}),
        ((2, 3), (3, 3), 1, {'padding': 1, 'stride': 2}),
        ((5, 5), (5, 5), 1, {}),
        ((4, 4), (3, 3), 4, {'padding': 1}),
    ],
)
def test_every_argument_against_the_loop(size, window, groups, arguments):
    images, kernel = arrays((2, *size, 4), (*window, 4 // groups, 8))
    pads = arguments.get('padding', 0)
    pads = pads if isinstance(pads, tuple) else (pads, pads)
    pads = [p if isinstance(p, tuple) else (p, p) for p in pads]
    pair = lambda v: v if isinstance(v, tuple) else (v, v)  # noqa: E731
    loop = torch_style_loop(
        np.asarray(images, np.float64),
        np.asarray(kernel, np.float64),
        pair(arguments.get('stride', 1)),
        pads,
        pair(arguments.get('dilation', 1)),
        groups,
    )
    ours = ops.conv2d(images, kernel, groups=groups, **arguments)
    np.testing.assert_allclose(ours, loop, rtol=1e-5, atol=1e-5)


def test_sizes_of_the_lecture():
    images, kernel = arrays((1, 32, 32, 1), (5, 5, 1, 6))
    first = ops.conv2d(images, kernel)
    assert first.shape == (1, 28, 28, 6)
    (second,) = arrays((5, 5, 6, 16))
    assert ops.conv2d(first, second).shape == (1, 24, 24, 16)
    (seven, three) = arrays((1, 7, 7, 1), (3, 3, 1, 1))
    assert [ops.conv2d(seven, three, stride=s).shape[1] for s in (1, 2, 3)] == [5, 3, 2]  # the last one floors
    assert ops.conv2d(seven, three, padding=1).shape == seven.shape


# (images, kernel, arguments): each takes another formulation on a CPU; `choice.choose` says which.
FORMS = {
    'pointwise': ((4, 6, 6, 4), (1, 1, 4, 8), {'stride': 2}),
    'one_window': ((4, 5, 5, 4), (5, 5, 4, 8), {}),
    'one_window_padded': ((4, 1, 2, 4), (3, 3, 4, 8), {'padding': 1, 'stride': 2}),
    'small_map': ((4, 2, 2, 4), (3, 3, 4, 8), {'padding': 1}),
    'small_map_strided': ((4, 4, 4, 4), (3, 3, 4, 8), {'padding': 1, 'stride': 2}),
    'small_map_dilated': ((4, 3, 4, 4), (3, 3, 4, 8), {'padding': 2, 'dilation': 2}),
    'only_padding': ((4, 2, 2, 4), (3, 3, 4, 8), {'padding': 5, 'stride': 3}),
    'one_channel': ((4, 12, 11, 1), (3, 3, 1, 6), {}),
    'one_channel_strided': ((4, 12, 13, 1), (3, 3, 1, 6), {'stride': 2, 'padding': 'same'}),
    'few_channels': ((4, 9, 10, 3), (5, 5, 3, 20), {'padding': ((2, 1), (0, 2))}),
    'batch_minor': ((4, 9, 10, 3), (5, 5, 3, 6), {'padding': ((2, 1), (0, 2))}),
    'batch_minor_one_channel': ((4, 12, 11, 1), (5, 5, 1, 6), {}),
    'depthwise': ((4, 7, 8, 6), (3, 3, 1, 6), {'groups': 6, 'padding': 1}),
    'depthwise_strided': ((4, 7, 8, 6), (3, 3, 1, 12), {'groups': 6, 'padding': ((1, 0), (2, 1)), 'stride': 2}),
    'depthwise_dilated': ((4, 9, 8, 6), (3, 3, 1, 12), {'groups': 6, 'padding': 3, 'dilation': 2}),
    'depthwise_large': ((4, 7, 7, 6), (5, 5, 1, 6), {'groups': 6, 'padding': 2}),
    'grouped': ((4, 7, 7, 16), (3, 3, 2, 16), {'groups': 8, 'padding': 1}),
    'grouped_blocks': ((4, 5, 5, 64), (3, 3, 32, 8), {'groups': 2, 'stride': 2}),
    'plain': ((4, 9, 9, 3), (3, 3, 3, 6), {'padding': 1}),
}


@pytest.mark.parametrize('form', FORMS)
def test_fast_forms_equal_lax(form):
    images_shape, kernel_shape, arguments = FORMS[form]
    images, kernel = arrays(images_shape, kernel_shape)

    def everything(images, kernel):
        outputs, pull = jax.vjp(lambda *a: ops.conv2d(*a, **arguments), images, kernel)
        return outputs, *pull(jnp.sin(jnp.arange(outputs.size, dtype=outputs.dtype)).reshape(outputs.shape))

    function = jax.jit(everything)
    ours = function(images, kernel)
    with ops.implementation('lax'):
        plain = function(images, kernel)
    for name, a, b in zip(('outputs', 'images', 'kernel'), ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize('form', ['one_window_padded', 'small_map', 'one_channel_strided', 'batch_minor', 'depthwise'])
def test_gradients_are_finite_differences(form):
    images_shape, kernel_shape, arguments = FORMS[form]
    with jax.enable_x64(True):
        images, kernel = arrays((1, *images_shape[1:]), kernel_shape, dtype='float64')
        convolve = jax.jit(lambda i, k: jnp.sin(ops.conv2d(i, k, **arguments)))
        check_grads(convolve, (images, kernel), order=1, modes=['rev'], rtol=1e-6, atol=1e-6)


def test_second_derivatives_and_forward_mode():
    images, kernel = arrays((1, 4, 4, 1), (3, 3, 1, 2))

    def loss(kernel):
        return jnp.sum(jnp.sin(ops.conv2d(images, kernel)))

    curvature = jax.grad(lambda k: jnp.sum(jax.grad(loss)(k) ** 2))(kernel)
    with ops.implementation('lax'):
        expected = jax.grad(lambda k: jnp.sum(jax.grad(loss)(k) ** 2))(kernel)
        assert jnp.isfinite(jax.jvp(loss, (kernel,), (kernel,))[1])
    np.testing.assert_allclose(curvature, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('form', ['plain', 'one_channel', 'batch_minor', 'grouped'])
def test_a_bias_is_added(form):
    images_shape, kernel_shape, arguments = FORMS[form]
    images, kernel, bias = arrays(images_shape, kernel_shape, kernel_shape[3:])
    outputs, pull = jax.vjp(lambda *a: ops.conv2d(*a[:2], bias=a[2], **arguments), images, kernel, bias)
    alone, pull_alone = jax.vjp(lambda *a: ops.conv2d(*a, **arguments), images, kernel)
    (weights,) = arrays(outputs.shape)
    np.testing.assert_array_equal(outputs, alone + bias.reshape(1, 1, 1, -1))
    of_images, of_kernel, of_bias = pull(weights)
    for ours, theirs in zip((of_images, of_kernel), pull_alone(weights), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(of_bias, weights.sum((0, 1, 2)), rtol=1e-5, atol=1e-5)


def test_implementation_is_part_of_the_jit_cache():
    images, kernel = arrays((1, 4, 4, 1), (3, 3, 1, 2))
    function = jax.jit(lambda i, k: ops.conv2d(i, k))
    assert 'convolution' not in str(function.lower(images, kernel).compile().as_text()).split('ENTRY')[1]
    with ops.implementation('lax'):
        assert 'convolution' in str(function.lower(images, kernel).compile().as_text()).split('ENTRY')[1]
    with pytest.raises(ValueError, match="implementation is 'fast'; give one of 'auto', 'lax'"):
        ops.implementation('fast').__enter__()


def test_data_format():
    images, kernel = arrays((2, 6, 7, 3), (3, 3, 3, 4))
    channels_first = jnp.transpose(images, (0, 3, 1, 2))
    ours = ops.conv2d(channels_first, kernel, padding=1, data_format='NCHW')
    np.testing.assert_allclose(jnp.transpose(ours, (0, 2, 3, 1)), ops.conv2d(images, kernel, padding=1), rtol=1e-6)
    with pytest.raises(ValueError, match="data_format is 'CHWN'; give 'NHWC' or 'NCHW'"):
        ops.conv2d(images, kernel, data_format='CHWN')


def test_depthwise_orders_its_outputs_by_channel_then_multiplier():
    images, kernel = arrays((2, 6, 6, 3), (3, 3, 3, 2))
    ours = ops.depthwise_conv2d(images, kernel, padding='same', dilation=2)
    for c, m in itertools.product(range(3), range(2)):
        alone = ops.conv2d(images[..., c : c + 1], kernel[:, :, c : c + 1, m : m + 1], padding='same', dilation=2)
        np.testing.assert_allclose(ours[..., 2 * c + m], alone[..., 0], rtol=1e-5, atol=1e-5)


def test_separable_is_one_convolution_of_low_rank():
    images, depthwise, pointwise = arrays((2, 6, 6, 3), (3, 3, 3, 2), (1, 1, 6, 5))
    ours = ops.separable_conv2d(images, depthwise, pointwise, stride=2, padding=1)
    whole = jnp.einsum('ijcm,cmo->ijco', depthwise, pointwise.reshape(3, 2, 5))
    np.testing.assert_allclose(ours, ops.conv2d(images, whole, stride=2, padding=1), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match='its height and width must be 1'):
        ops.separable_conv2d(images, depthwise, depthwise)


@pytest.mark.parametrize(
    ('size', 'window', 'arguments'),
    [
        (7, 3, {}),
        (8, 3, {'stride': 2, 'padding': 1}),
        (7, 3, {'stride': 2, 'padding': ((1, 0), (0, 1))}),
        (9, 3, {'dilation': 2, 'padding': 2, 'groups': 2}),
        (8, 2, {'stride': 3}),
    ],
)
def test_transpose_is_the_gradient_of_the_convolution(size, window, arguments):
    images, kernel = arrays((2, size, size, 4), (window, window, 4 // arguments.get('groups', 1), 6))
    maps, pull = jax.vjp(lambda i: ops.conv2d(i, kernel, **arguments), images)
    (weights,) = arrays(maps.shape)
    pads = arguments.get('padding', 0)
    unused = [
        (size + (2 * pads if isinstance(pads, int) else sum(pads[a])) - (window - 1) * arguments.get('dilation', 1) - 1)
        % arguments.get('stride', 1)
        for a in (0, 1)
    ]
    ours = ops.conv2d_transpose(weights, kernel, output_padding=tuple(unused), **arguments)
    np.testing.assert_allclose(ours, pull(weights)[0], rtol=1e-4, atol=1e-5)


def test_transpose_same_multiplies_the_size():
    for stride, window in [(1, 3), (2, 3), (2, 4), (3, 2), (4, 5)]:
        images, kernel = arrays((1, 5, 5, 2), (window, window, 3, 2))
        ours = ops.conv2d_transpose(images, kernel, stride=stride, padding='same')
        assert ours.shape == (1, 5 * stride, 5 * stride, 3)
        theirs = jax.lax.conv_transpose(
            images, kernel, (stride, stride), 'SAME', transpose_kernel=True, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match='crops all of an output'):
        ops.conv2d_transpose(images[:, :1, :1], kernel, padding=4)
    with pytest.raises(ValueError, match='the images have 2 channels'):
        ops.conv2d_transpose(images, jnp.ones((3, 3, 2, 3)))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'images': (7, 7, 3)}, r'images has shape \(7, 7, 3\); give 4 axes \(batch, height, width, channels\)'),
        ({'kernel': (3, 3, 3)}, 'kernel has shape'),
        ({'kernel': (3, 3, 2, 4)}, r'the images have 3 channels and the kernel \(3, 3, 2, 4\) reads 2 in each of 1'),
        ({'groups': 2}, 'groups=2 must divide the 3 input and 4 output channels'),
        ({'groups': 0}, 'groups is 0; it must be an integer of at least 1'),
        ({'stride': 0}, 'stride is 0; it must be at least 1'),
        ({'stride': (1, 0)}, r'stride is \(1, 0\); it must be at least 1'),
        ({'stride': 1.5}, r'stride is 1.5; give an integer or a pair \(height, width\)'),
        ({'dilation': 0}, 'dilation is 0; it must be at least 1'),
        ({'bias': jnp.ones(3)}, r'bias has shape \(3,\); the kernel \(3, 3, 3, 4\) needs \(4,\)'),
        ({'bias': jnp.ones(4, 'bfloat16')}, 'the bias is bfloat16 and the kernel is float32; cast one to the other'),
        ({'padding': 'full'}, "padding is 'full'; give 'valid', 'same', an integer, a pair or two pairs"),
        ({'padding': -1}, 'padding is -1; it must be at least 0'),
        ({'dilation': 4}, r'a 3x3 window \(9x9 with its dilation\) is larger than the padded input 7x7'),
        ({'kernel': (9, 9, 3, 4)}, 'a 9x9 window is larger than the padded input 7x7; use a smaller window or more'),
    ],
)
def test_mistakes(arguments, message):
    images = jnp.ones(arguments.pop('images', (1, 7, 7, 3)))
    kernel = jnp.ones(arguments.pop('kernel', (3, 3, 3, 4)))
    with pytest.raises(ValueError, match=message):
        ops.conv2d(images, kernel, **arguments)


def test_types_are_not_promoted():
    images, kernel = jnp.ones((1, 7, 7, 3), jnp.uint8), jnp.ones((3, 3, 3, 4))
    with pytest.raises(ValueError, match=r'images is uint8; give a floating-point array, such as images.astype'):
        ops.conv2d(images, kernel)
    with pytest.raises(ValueError, match='images are bfloat16 and the kernel is float32; cast one to the other'):
        ops.conv2d(images.astype(jnp.bfloat16), kernel)


def test_an_empty_batch_gives_an_empty_result():
    assert ops.conv2d(jnp.ones((0, 7, 7, 1)), jnp.ones((3, 3, 1, 4))).shape == (0, 5, 5, 4)


def test_the_loop_of_teaching_agrees():
    images, kernel = arrays((1, 5, 6, 2), (3, 3, 2, 3))
    expected = loops.conv2d(np.asarray(images), np.asarray(kernel), stride=2, padding=1)
    np.testing.assert_allclose(ops.conv2d(images, kernel, stride=2, padding=1), expected, rtol=1e-5, atol=1e-6)
