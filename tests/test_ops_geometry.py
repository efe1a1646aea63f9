"""The arithmetic of windows, on the lecture's examples and against what the operations do."""

import re

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax import ops


def test_the_examples_of_the_lecture():
    assert ops.output_size(7, 3) == 5
    assert ops.output_size(7, 3, stride=2) == 3
    assert ops.output_size(7, 3, padding=1) == 7
    assert ops.output_size(32, 5) == 28
    assert ops.output_size(28, 5) == 24
    text = 'a 3x3 filter at stride 3 does not fit a size of 7: (7-3)/3+1 = 2.33; padding 1 gives 3'
    with pytest.raises(ValueError, match=f'^{re.escape(text)}$'):
        ops.output_size(7, 3, stride=3)
    assert ops.output_size(7, 3, stride=3, exact=False) == 2


def test_the_stem_of_a_resnet_needs_the_floor():
    with pytest.raises(ValueError, match=re.escape('(224-7+6)/2+1 = 112.50; exact=False floors to 112')):
        ops.output_size(224, 7, stride=2, padding=3)
    assert ops.output_size(224, 7, stride=2, padding=3, exact=False) == 112


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((3, 5, {}), 'a 5x5 filter is larger than the padded size of 3; padding 1 gives 1'),
        ((3, 5, {'exact': False}), 'is larger than'),
        ((7, 3, {'dilation': 4}), r'a 3x3 filter \(dilated to 9\) is larger than the padded size of 7; padding 1'),
        ((7, 3, {'stride': 0}), 'stride is 0'),
        ((7, 3, {'padding': -1}), 'padding is -1'),
        ((0, 3, {}), 'size is 0'),
    ],
)
def test_mistakes(arguments, message):
    size, window, options = arguments
    with pytest.raises(ValueError, match=message):
        ops.output_size(size, window, **options)


@given(
    size=st.integers(1, 20),
    window=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_the_floor_is_what_the_convolution_does(size, window, stride, dilation, padding):
    arguments = {'stride': stride, 'dilation': dilation, 'padding': padding}
    images, kernel = (jax.ShapeDtypeStruct(s, 'float32') for s in ((1, size, 9, 1), (window, 1, 1, 1)))
    arguments_2d = {'stride': (stride, 1), 'dilation': (dilation, 1), 'padding': (padding, (0, 0))}
    try:
        rows = jax.eval_shape(lambda i, k: ops.conv2d(i, k, **arguments_2d), images, kernel).shape[1]
    except ValueError:
        with pytest.raises(ValueError, match='larger than'):
            ops.output_size(size, window, **arguments, exact=False)
    else:
        assert ops.output_size(size, window, **arguments, exact=False) == rows


@given(window=st.integers(1, 9), dilation=st.integers(1, 3), size=st.integers(1, 30))
def test_same_padding_preserves_the_size(window, dilation, size):
    if (window - 1) * dilation % 2:
        with pytest.raises(ValueError, match="use padding='same'"):
            ops.same_padding(window, dilation=dilation)
    else:
        padding = ops.same_padding(window, dilation=dilation)
        assert ops.output_size(size, window, padding=padding, dilation=dilation) == size


def test_receptive_fields_that_are_known():
    assert ops.receptive_field([]) == ops.ReceptiveField(1, 1, 0)
    three = ops.Window(3, 1, 1)
    assert ops.receptive_field([three] * 3).size == 7  # the lecture: three 3x3 see what one 7x7 sees
    pool = ops.Window(2, 2)
    counts = (2, 2, 3, 3, 3)
    vgg16 = [w for n in counts for w in [three] * n + [pool]]
    assert ops.receptive_field(vgg16)[:2] == (212, 32)
    stem = [ops.Window(7, 2, 3), ops.Window(3, 2, 1)]
    assert ops.receptive_field(stem) == ops.ReceptiveField(11, 4, -5)


def test_autodiff_finds_the_same_field():
    chain = [ops.Window(3, 2, 1), ops.Window(2, 2), ops.Window(3, 1, 1, 2)]
    keys = jax.random.split(jax.random.key(0), 2)
    first, last = (jax.random.normal(k, s) for k, s in zip(keys, ((3, 3, 2, 4), (3, 3, 4, 3)), strict=True))

    def function(images):
        maps = ops.max_pool(jax.nn.relu(ops.conv2d(images, first, stride=2, padding=1)), window=2)
        return ops.conv2d(maps, last, dilation=2, padding=1)

    field = ops.receptive_field(chain)
    (top, bottom), (left, right) = ops.gradient_support(jax.jit(function), (40, 44, 2), unit=(4, 5), num_tries=5)
    assert (top, bottom) == (field.start + 4 * field.stride, field.start + 4 * field.stride + field.size)
    assert (left, right) == (field.start + 5 * field.stride, field.start + 5 * field.stride + field.size)
    with pytest.raises(ValueError, match='depends on no pixel'):
        ops.gradient_support(lambda x: jnp.zeros_like(x), (4, 4, 1))


def test_counts_of_lenet():
    kernels = [(5, 5, 1, 6), (5, 5, 6, 16), (5, 5, 16, 120)]
    total = sum(map(ops.conv2d_parameters, kernels)) + ops.dense_parameters(120, 84) + ops.dense_parameters(84, 10)
    assert total == 61_706
    macs = [ops.conv2d_macs(k, s) for k, s in zip(kernels, ((28, 28), (10, 10), (1, 1)), strict=True)]
    assert macs == [117_600, 240_000, 48_000]
    assert ops.dense_macs(120, 84) == 10_080
    assert ops.conv2d_parameters((3, 3, 1, 8), use_bias=False) == 72
