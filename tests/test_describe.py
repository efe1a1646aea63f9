"""The layer table against published figures, closed forms, and the support of gradients."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from cnn_jax.describe import Fit, Layer, format_table, formula, layer_table
from cnn_jax.layers import AvgPool, Conv2D, Dense, MaxPool
from cnn_jax.models.lenet import LeNet, LeNet1998

KEY = jax.random.key(0)


class Chain(nn.Module):
    """Named layers one after the other; a function in the list runs without being a layer."""

    layers: tuple

    @nn.compact
    def __call__(self, x):
        for name, layer in self.layers:
            x = layer.clone(name=name, parent=self)(x) if isinstance(layer, nn.Module) else layer(x)
        return x


def flatten(x):
    return x.reshape(x.shape[0], -1)


def table(*layers, shape=(16, 16, 3)):
    named = tuple(layer if isinstance(layer, tuple) else (f'layer{i}', layer) for i, layer in enumerate(layers))
    return {layer.name: layer for layer in layer_table(Chain(named), shape)}


def conv(filters, size, strides=1, padding=0, **options):
    return nn.Conv(filters, (size, size), (strides, strides), [(padding, padding)] * 2, **options)


class Step(nn.Module):
    """A function as a named layer."""

    function: Callable[..., jax.Array]

    @nn.compact
    def __call__(self, x):
        return self.function(x)


def field(function, shape=(16, 16, 3), before=3):
    """Receptive field and stride of a function of images, after a convolution that sees `before` pixels."""
    layer = table(('first', conv(3, before, padding=1)), ('step', Step(function)), shape=shape)['step']
    return layer.receptive_field, layer.stride


def test_lenet_counts_and_receptive_fields():
    layers = layer_table(LeNet(), (32, 32, 1))
    assert [layer.name for layer in layers] == ['conv1', 'pool2', 'conv3', 'pool4', 'conv5', 'fc6', 'output']
    assert [layer.output_shape for layer in layers[:3]] == [(28, 28, 6), (14, 14, 6), (10, 10, 16)]
    assert [layer.receptive_field for layer in layers] == [(n, n) for n in (5, 6, 14, 16, 32, 32, 32)]
    assert [layer.stride for layer in layers[:4]] == [(1, 1), (2, 2), (2, 2), (4, 4)]
    assert sum(layer.parameters for layer in layers) == 61_706
    assert sum(layer.macs for layer in layers) == 416_520
    assert layers[0].activation_bytes == 28 * 28 * 6 * 4


def test_sparse_table_and_constants_of_the_1998_lenet():
    layers = {layer.name: layer for layer in layer_table(LeNet1998(), (32, 32, 1))}
    assert sum(layer.parameters for layer in layers.values()) == 60_000
    assert layers['conv3'].macs == 10 * 10 * 25 * 60  # the 60 connections of the table
    assert layers['output'].constants == 840
    assert formula(layers['pool2']) == '(28 - 2 + 2*0)/2 + 1 = 14'  # a layer that declares no window
    assert '840 constants' in format_table(list(layers.values()))


def test_vgg16_against_the_literature():
    layers, filters = [], (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    for number, width in enumerate(filters):
        layers.append((f'conv{number}', conv(width, 3, padding=1)))
        if number in (1, 3, 6, 9, 12):
            layers.append((f'pool{number}', MaxPool(2)))
    layers += [('flatten', Step(flatten)), ('fc6', Dense(4096)), ('fc7', Dense(4096)), ('fc8', Dense(1000))]
    rows = table(*layers, shape=(224, 224, 3))
    assert rows['conv12'].receptive_field == (196, 196)
    assert (rows['pool12'].receptive_field, rows['pool12'].stride) == ((212, 212), (32, 32))
    assert rows['fc6'].receptive_field == (404, 404)  # Araujo et al. 2019: 212 + 6 * 32
    assert sum(row.parameters for row in rows.values()) == 138_357_544
    assert sum(row.macs for row in rows.values()) == 15_470_264_320


def test_alexnet_against_the_literature():
    layers = [conv(96, 11, 4), MaxPool(3, 2), conv(256, 5, 1, 2, feature_group_count=2), MaxPool(3, 2)]
    layers += [conv(384, 3, 1, 1), conv(384, 3, 1, 1), conv(256, 3, 1, 1), MaxPool(3, 2)]
    rows = list(table(*layers, shape=(227, 227, 3)).values())
    assert [row.receptive_field for row in rows] == [(n, n) for n in (11, 19, 51, 67, 99, 131, 163, 195)]
    assert rows[2].parameters == 5 * 5 * 48 * 256 + 256
    assert rows[2].macs == 27 * 27 * 5 * 5 * 48 * 256


class Bottleneck(nn.Module):
    filters: int
    strides: int
    stride_on_3x3: bool

    @nn.compact
    def __call__(self, x):
        early, late = (1, self.strides) if self.stride_on_3x3 else (self.strides, 1)
        y = nn.relu(nn.BatchNorm(True, name='norm1')(conv(self.filters, 1, early, name='conv1')(x)))
        y = nn.relu(conv(self.filters, 3, late, 1, name='conv2')(y))
        y = conv(4 * self.filters, 1, name='conv3')(y)
        if x.shape != y.shape:
            x = conv(4 * self.filters, 1, self.strides, name='shortcut')(x)
        return nn.relu(x + y)


def resnet(stride_on_3x3, wrap=lambda block: block):
    layers = [('conv1', conv(8, 7, 2, 3)), ('pool1', MaxPool(3, 2, 1))]
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            layers.append((f'stage{stage + 1}_block{block + 1}', wrap(Bottleneck)(4, strides, stride_on_3x3)))
    return layers


def test_resnet50_sees_483_pixels_in_the_paper_and_427_with_the_stride_on_the_3x3():
    # Araujo et al. 2019 (Distill) give 483 for the original; the stride one layer later makes it 427.
    for stride_on_3x3, size in ((False, 483), (True, 427)):
        rows = table(*resnet(stride_on_3x3), shape=(224, 224, 3))
        assert rows['stage4_block3'].receptive_field == (size, size)
        assert rows['stage4_block3'].stride == (32, 32)


def test_blocks_are_sums_of_what_is_inside_and_remat_changes_nothing():
    rows = table(*resnet(True)[:3], shape=(64, 64, 3))
    inside = [row for name, row in rows.items() if name.startswith('stage1_block1/')]
    block = rows['stage1_block1']
    assert len(inside) == 5
    assert not block.leaf
    assert {row.depth for row in inside} == {2}
    assert block.parameters == sum(row.parameters for row in inside)
    assert block.macs == sum(row.macs for row in inside)
    assert (block.constants, rows['stage1_block1/norm1'].constants) == (8, 8)  # running mean and variance
    again = table(*resnet(True, nn.remat)[:3], shape=(64, 64, 3))
    assert [row.receptive_field for row in again.values()] == [row.receptive_field for row in rows.values()]
    text = format_table(list(rows.values()))
    assert 'stage1_block1/conv1' not in text
    assert 'stage1_block1/conv1' in format_table(list(rows.values()), depth=2)


def nine_slices(x):
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(x[:, i : i + 14 : 2, j : j + 14 : 2] for i in range(3) for j in range(3))


def test_other_forms_of_the_same_layers_have_the_same_field():
    assert field(nine_slices) == ((5, 5), (2, 2))
    assert field(lambda x: (x.reshape(-1, 3) @ jnp.ones((3, 3))).reshape(x.shape)) == ((3, 3), (1, 1))
    assert field(lambda x: x.reshape(-1, 8, 2, 8, 2, 3).max((2, 4))) == ((4, 4), (2, 2))
    assert field(lambda x: x[:, ::-1, ::-1][:, :7, :5]) == ((3, 3), (-1, -1))
    assert field(lambda x: jnp.moveaxis(x, 3, 1)[:, :, ::2]) == ((3, 3), (2, 1))
    assert field(lambda x: jnp.concatenate([x, nn.avg_pool(x, (5, 5), padding='SAME')], -1)) == ((7, 7), (1, 1))
    assert field(lambda x: x * nn.sigmoid(x.mean((1, 2), keepdims=True))) == ((18, 18), None)
    assert field(lambda x: nn.softmax(x).mean((1, 2))) == ((18, 18), None)
    squeezed = field(lambda x: (x * nn.sigmoid(x.mean((1, 2), keepdims=True))).reshape(-1, 3).sum(1))
    assert squeezed == ((18, 18), None)  # the reshape sees the size of the map and not of the mean


@jax.custom_vjp
def pooled(x):
    return lax.platform_dependent(
        x, cpu=lambda x: jnp.maximum(x[:, ::2, ::2], x[:, 1::2, 1::2]), default=lambda x: nn.max_pool(x, (2, 2), (2, 2))
    )


pooled.defvjp(lambda x: (pooled(x), x), lambda x, gradient: (jnp.zeros_like(x),))


def test_fields_go_through_custom_derivatives_jit_and_platform_branches():
    assert field(pooled) == ((4, 4), (2, 2))
    assert field(jax.jit(nn.gelu)) == ((3, 3), (1, 1))


@pytest.mark.parametrize(
    'function',
    [
        lambda x: jax.image.resize(x, (*x.shape[:1], 32, 32, 3), 'bilinear'),
        lambda x: jnp.roll(x, 1, 1),
        lambda x: jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), mode='wrap'),
        lambda x: jnp.einsum('bhwc,bijc->bhwij', x, x).sum((3, 4)),
        lambda x: jnp.cumsum(x, 1),
        lambda x: x + jnp.swapaxes(x, 1, 2),
        lambda x: lax.conv_transpose(x, jnp.ones((2, 2, 3, 3)), (2, 2), 'VALID'),
        lambda x: x[:, np.arange(16)[::-1] // 2],
    ],
)
def test_what_has_no_rule_is_unknown_and_not_wrong(function):
    assert field(function) == (None, None)


window = st.tuples(st.sampled_from(['conv', 'pool']), st.integers(1, 4), st.integers(1, 2), st.integers(0, 1))


@settings(max_examples=8)
@given(st.lists(st.tuples(window, window, st.integers(1, 2)), min_size=1, max_size=3))
def test_fields_are_the_support_of_the_gradient(chain):
    layers = []
    for number, ((kind, *row), (_, *column), dilation) in enumerate(chain):
        size, stride, padding = zip(row, column, strict=True)
        padding = tuple(min(p, s // 2) for p, s in zip(padding, size, strict=True))
        if kind == 'conv':
            layer = Conv2D(1, size, stride, padding, dilation_rate=dilation)
        else:
            layer = AvgPool(size, stride, padding)
        layers.append((f'layer{number}', layer))
    model, shape = Chain(tuple(layers)), (48, 48, 1)
    last = layer_table(model, shape)[-1]
    images = jnp.zeros((1, *shape))
    middle = tuple(size // 2 for size in last.output_shape[:2])
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), jax.eval_shape(model.init, KEY, images))
    unit = jax.jit(jax.grad(lambda x, variables: jnp.asarray(model.apply(variables, x))[(0, *middle, 0)]))
    support = np.asarray(unit(images, variables))[0, :, :, 0] != 0
    rows, columns = (np.flatnonzero(support.any(axis)) for axis in (1, 0))
    assert last.receptive_field == (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)


class Shared(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        again = conv(3, 3, padding=1, name='again')
        x = again(again(x))
        if train or self.is_initializing():
            Dense(7, name='aux')(flatten(x))
        scale = self.param('scale', nn.initializers.ones, (5,))
        return x * scale.sum()


def test_shared_layers_count_once_and_uncalled_ones_are_listed():
    layers = layer_table(Shared(), (8, 8, 3))
    assert [layer.name for layer in layers] == ['again', 'again', '(model)', 'aux']
    assert [layer.parameters for layer in layers] == [84, 0, 5, 8 * 8 * 3 * 7 + 7]
    assert [layer.receptive_field for layer in layers] == [(3, 3), (5, 5), (5, 5), None]
    assert layers[0].macs == layers[1].macs == 64 * 81
    assert layers[3].output_shape == ()
    assert 'not called in evaluation' in format_table(layers)
    assert layer_table(Shared(), (8, 8, 3), train=True)[2].output_shape == (7,)


def test_a_model_that_is_one_layer():
    (layer,) = layer_table(nn.Conv(4, (3, 3), feature_group_count=2), (8, 6, 2))
    assert (layer.name, layer.output_shape, layer.parameters) == ('(model)', (8, 6, 4), 3 * 3 * 4 + 4)
    assert layer.macs == 8 * 6 * 36


def test_inputs_that_no_window_reads_are_marked():
    rows = table(('stem', conv(4, 7, 2, 3)), ('pool', MaxPool(3, 2)), ('skip', conv(4, 1, 2)), shape=(224, 224, 3))
    assert [row.unread for row in rows.values()] == [(0, 1), (1, 0), (27, 0)]
    assert formula(rows['stem']) == '(224 - 7 + 2*3)/2 + 1 = 112.5 -> 112'
    text = format_table(list(rows.values()))
    assert '* stem: 1 of 6 of the padding unread: (224 - 7 + 2*3)/2 + 1 = 112.5 -> 112' in text
    assert '* skip: 27 of 55 rows and columns unread: stride 2 is more than the window of 1' in text


def test_formulas_of_the_lecture():
    def shown(*fits):
        return formula(Layer('', '', 1, True, (), (), 0, 0, 0, 0, fits=fits))

    assert shown(Fit(32, 5), Fit(32, 5)) == '(32 - 5 + 2*0)/1 + 1 = 28'
    assert shown(Fit(7, 3, 3), Fit(7, 3, 3)) == '(7 - 3 + 2*0)/3 + 1 = 2.333 -> 2'
    assert shown(Fit(9, 3, 1, (1, 1), 2), Fit(9, 1)) == '(9 - (2*(3-1)+1) + 2*1)/1 + 1 = 7; (9 - 1 + 2*0)/1 + 1 = 9'
    assert shown(Fit(8, 3, 2, (0, 1)), Fit(8, 3, 2, (0, 1))) == '(8 - 3 + (0+1))/2 + 1 = 4'


def test_macs_of_other_layers():
    rows = table(('dense', nn.Dense(5)), ('general', nn.DenseGeneral((2, 4))), ('sum', Step(lambda x: x.sum(-1))))
    assert rows['dense'].macs == 16 * 16 * 3 * 5
    assert rows['general'].macs == 16 * 16 * 5 * 8
    assert table(Conv2D(5, 3, data_format='channels_first'), shape=(3, 16, 16))['layer0'].macs == 14 * 14 * 9 * 3 * 5
    assert table(Conv2D(5, 3, trainable=False))['layer0'].macs == 14 * 14 * 9 * 3 * 5
    assert table(nn.ConvTranspose(5, (2, 2), (2, 2)))['layer0'].macs == 16 * 16 * 2 * 2 * 3 * 5


def test_tables_keep_to_a_line_of_100_columns():
    layers = layer_table(LeNet(), (32, 32, 1))
    for text in (format_table(layers), format_table(layers, formula=True)):
        assert max(map(len, text.splitlines())) <= 110
        assert '61,706' in text
        assert '416,520' in text
    assert '(32 - 5 + 2*0)/1 + 1 = 28' in format_table(layers, formula=True)
