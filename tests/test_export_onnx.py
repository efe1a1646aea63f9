"""The writer of ONNX, operation by operation, against XLA; and what it refuses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from flax import linen as nn
from jax import lax
from test_export_contract import run_onnx

from cnn_jax import ops
from cnn_jax.errors import CnnJaxError
from cnn_jax.export import onnx_writer

SHAPE = (7, 6, 4)
KERNEL: Any = np.random.default_rng(1).standard_normal((3, 3, 4, 6)).astype(np.float32)
BIAS: Any = np.arange(6, dtype=np.float32)
GROUPED = KERNEL[:, :, :2]
MATRIX = np.random.default_rng(2).standard_normal((6, 5)).astype(np.float32)

CASES = {
    'elementwise': lambda x: jnp.tanh(x) * jnp.exp(-x) + lax.rsqrt(1 + jnp.square(x)) - jnp.abs(x - 1) ** 3,
    'more_elementwise': lambda x: jnp.log(x + 2) + jnp.floor(4 * x) + jnp.sign(x - 0.5) + jnp.ceil(x) + jnp.sin(x),
    'activations': lambda x: nn.gelu(x) + nn.gelu(x, approximate=False) + nn.sigmoid(x) + nn.leaky_relu(x - 1),
    'relu_family': lambda x: nn.relu(x - 0.5) + nn.relu6(9 * x) + nn.elu(x - 1) + nn.softplus(x) + nn.hard_tanh(2 * x),
    'choices': lambda x: jnp.where((x > 0.21) & ~(x >= 0.91) | (x == 0), x, jnp.clip(x, 0.3, 0.6)),
    'reductions': lambda x: jnp.max(x, 1) + jnp.mean(x, 1) - jnp.min(x, 1) + jnp.prod(x, 1),
    'finite': lambda x: jnp.isfinite(jnp.where(x > 0.9, jnp.inf, jnp.log(x - 0.1))).all(3),
    'stacked': lambda x: jnp.stack([x[:, 0], x.transpose(0, 2, 1, 3)[..., 3, :]], 2),
    'first_largest': lambda x: jnp.argmax(x, 3),
    'softmax': lambda x: jax.nn.log_softmax(x),
    'conv': lambda x: ops.conv2d(x, KERNEL, padding=1, bias=BIAS),
    'conv_uneven': lambda x: ops.conv2d(x, KERNEL, padding=((1, 0), (0, 2)), stride=(2, 1)),
    'conv_dilated_in_groups': lambda x: ops.conv2d(x, GROUPED, padding='same', dilation=2, groups=2),
    'conv_transpose': lambda x: ops.conv2d_transpose(x, KERNEL.swapaxes(2, 3), stride=2, output_padding=1),
    'conv_transpose_same': lambda x: ops.conv2d_transpose(x, KERNEL.swapaxes(2, 3), stride=2, padding='same'),
    'max_pool': lambda x: ops.max_pool(x, window=3, stride=2, padding=1, ceil_mode=True),
    'avg_pool': lambda x: ops.avg_pool(x, window=3, stride=2, padding=1),
    'pools_of_several': lambda x: ops.adaptive_avg_pool(x, output_size=3),
    'local_response_norm': lambda x: ops.local_response_norm(100 * x, size=3),
    'dense': lambda x: x.reshape(x.shape[0], -1)[:, :6] @ MATRIX,
    'einsum': lambda x: jnp.einsum('bhwc,wd->bdch', x, MATRIX),
    'two_products': lambda x: jnp.einsum('bhwc,bhvc->bwv', x, x),
    'moves': lambda x: jnp.transpose(x, (0, 3, 2, 1))[:, :, ::-1, 1:-1:2],
    'depth_to_space': lambda x: x.reshape(-1, 7, 6, 2, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 14, 12, 1),
    'joins': lambda x: jnp.concatenate([jnp.pad(x, ((0, 0), (1, 2), (0, 0), (0, 0))), x[:, :1], x[:, 2:3]], 1),
    'views_in_the_batch': lambda x: jnp.concatenate([x, x[:, :, ::-1]]).reshape(2, x.shape[0], *SHAPE).mean(0),
    'reflected': lambda x: jnp.pad(x, ((0, 0), (2, 1), (1, 1), (0, 0)), mode='reflect'),
    'resized': lambda x: jax.image.resize(x, (x.shape[0], 12, 14, 4), 'bilinear'),
    'rows_and_columns': lambda x: x[:, ::3, 1::2] + x[:, ::-3, -1::-2],
    'some_rows': lambda x: x[:, jnp.array([0, 3, 1])],
    'one_row': lambda x: x[:, 2],
    'broadcast': lambda x: jnp.broadcast_to(x.mean((1, 2), keepdims=True), x.shape).reshape(-1, 7 * 6 * 4),
    'constant': lambda x: jnp.ones((x.shape[0], 3)) * jnp.arange(3.0)[None],
    'number_of_images': lambda x: x * x.shape[0],
    'a_whole_number_and_a_half': lambda x: (x * 10).astype(jnp.int32) + 0.5,
    'highest': lambda x: lax.top_k(x.reshape(-1, 7 * 6 * 4), 9)[0],
    'places_of_the_highest': lambda x: lax.top_k(jnp.round(3 * x).reshape(-1, 7 * 6 * 4), 9)[1] // -4,  # ties
    'remainders': lambda x: (x * 20).astype(jnp.int32) % 3 + ((-x * 20).astype(jnp.int32) % 3),
    'along_the_last_axis': lambda x: jnp.take_along_axis(x, jnp.argmax(x, 3, keepdims=True), 3),
    'along_the_first_axis': lambda x: jnp.take_along_axis(x, jnp.argsort(BIAS[:5])[None, :, None, None] - 2, 1),
    'by_the_image': lambda x: jnp.take_along_axis(x[:, :, 0], lax.top_k(x[:, :, 1, 2], 3)[1][..., None], 1),
    'numbers': lambda x: (x * 10).astype(jnp.int32).astype(jnp.float32),
}


@pytest.mark.parametrize('name', CASES)
def test_an_operation_is_what_xla_makes_of_it(name):
    def function(variables, images):
        del variables
        return {'outputs': CASES[name](images.astype(jnp.float32) / 255)}

    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)
    content = onnx_writer.write(function, {}, SHAPE)
    for batch in (1, 3):
        expected = np.asarray(jax.jit(function)({}, images[:batch])['outputs'])
        (found,) = run_onnx(content, images[:batch])
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


class Sorting(nn.Module):
    """A layer that ONNX's writer does not know."""

    @nn.compact
    def __call__(self, images, *, train: bool):
        return nn.Dense(2, name='fc')(Inner(name='middle')(images.mean((1, 2))))


class Inner(nn.Module):
    @nn.compact
    def __call__(self, values):
        return lax.cumsum(values, axis=1)


def test_what_it_does_not_know_is_refused_by_name_and_layer():
    model: Any = Sorting()
    variables = model.init(jax.random.key(0), jnp.zeros((1, *SHAPE)), train=False)

    def function(variables, images):
        return {'outputs': model.apply(variables, images.astype(jnp.float32), train=False)}

    with pytest.raises(CnnJaxError, match=r"does not know cumsum in layer 'middle'.*--formats=stablehlo"):
        onnx_writer.write(function, variables, SHAPE)


@pytest.mark.parametrize(
    ('function', 'words'),
    [
        (lambda x: x.astype(jnp.bfloat16) * 2, 'bfloat16'),
        (lambda x: x[0, x[0, 0, 0, :2].astype(int)], 'depends on the images'),
        (lambda x: lax.round(x), 'round .halves away from zero'),
        (lambda x: lax.fori_loop(0, 3, lambda _, y: y * 2, x), 'scan|while'),
        (lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0))), 'padding between the pixels'),
        (lambda x: lax.sort(x), 'sort'),
    ],
)
def test_each_refusal_is_one_line(function, words):
    with pytest.raises(CnnJaxError, match=words) as caught:
        onnx_writer.write(
            lambda variables, images: {'outputs': function(images.astype(jnp.float32))}, {'unused': np.zeros(2)}, SHAPE
        )
    assert '\n' not in str(caught.value)


def test_the_file_says_what_it_takes_and_gives():
    def function(variables, images):
        maps = images.astype(jnp.float32) @ variables['kernel']
        return {'maps': maps, 'means': maps.mean((1, 2))}

    content = onnx_writer.write(function, {'kernel': np.eye(4, 5, dtype=np.float32)}, SHAPE, about={'title': 'a net'})
    model = onnx.load_from_string(content)
    assert model.opset_import[0].version == onnx_writer.OPSET
    sides = [[one.name, *dims(one)] for one in (*model.graph.input, *model.graph.output)]
    assert sides == [['images', 'batch', 7, 6, 4], ['maps', 'batch', 7, 6, 5], ['means', 'batch', 5]]
    assert {one.key: one.value for one in model.metadata_props} == {'title': 'a net'}


def dims(one) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in one.type.tensor_type.shape.dim]


def test_a_bias_is_where_runtimes_join_it_with_its_convolution():
    content = onnx_writer.write(
        lambda variables, images: {'maps': CASES['conv'](images.astype(jnp.float32))}, {}, SHAPE
    )
    graph = onnx.load_from_string(content).graph
    added = next(node for node in graph.node if node.op_type == 'Add')
    bias = next(one for one in graph.initializer if one.name == added.input[1])
    assert list(bias.dims) == [1, 6, 1, 1]
