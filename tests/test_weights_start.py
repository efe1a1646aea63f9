"""Starting a model that is already there from a weights file: `--init_from=FILE`."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from cnn_jax import weights
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.models.googlenet import VARIANTS as GOOGLENET
from cnn_jax.models.lenet import LeNet
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG
from cnn_jax.weights import architectures
from cnn_jax.weights.convert import flatten, slots, variable_shapes

SHAPE = (64, 64, 3)
RESNET = ResNet(depth=18, width=1 / 16, num_classes=5, stage_sizes=(1, 1))
VGG_SMALL = VGG(stage_sizes=(1, 1), width=1 / 16, num_classes=5, batch_norm='global')


shapes_of: Any = functools.cache(variable_shapes)  # tracing a GoogLeNet takes a second


def values(model, seed=0, image_shape=SHAPE) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = shapes_of(model, image_shape)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(leaf.dtype), shapes)


def as_torch(model, variables, library: Any = 'torchvision', image_shape=SHAPE) -> dict[str, np.ndarray]:
    """The state dict that would give these variables."""
    arrays, flat = {}, flatten(variables)
    for name, slot in slots(model, shapes_of(model, image_shape), library).items():
        array = flat[slot.path]
        if slot.seen_as is not None:
            out, channels, height, width = slot.seen_as
            array = array.reshape(height, width, channels, out).transpose(3, 2, 0, 1).reshape(slot.theirs)
        arrays[name] = array
    return arrays


def equal(one, other) -> bool:
    return jax.tree.structure(one) == jax.tree.structure(other) and jax.tree.all(
        jax.tree.map(np.array_equal, one, other)
    )


@pytest.fixture
def lines():
    return []


@pytest.mark.parametrize('model', [RESNET, VGG_SMALL])
@pytest.mark.parametrize('form', ['ours', 'torchvision', 'timm', 'dict', 'variables'])
def test_the_same_model_takes_everything(tmp_path, lines, model, form):
    variables, path = values(model), tmp_path / 'a.safetensors'
    source: Any = path
    if form == 'ours':
        weights.save(path, model, variables)
    elif form == 'variables':
        source = variables
    else:
        source = as_torch(model, variables, 'timm' if form == 'timm' else 'torchvision')
        if form != 'dict':
            safetensors.numpy.save_file({name: np.asarray(array, order='C') for name, array in source.items()}, path)
            source = path
    for like in (values(model, seed=1), shapes_of(model, SHAPE)):
        assert equal(weights.variables_for(model, source, like, report=lines.append), variables)
    assert lines == []


@pytest.mark.parametrize(('model', 'head'), [(RESNET, 'fc'), (VGG_SMALL, 'fc8')])
@pytest.mark.parametrize('form', ['ours', 'torchvision'])
def test_another_number_of_classes_starts_the_head_anew_and_says_so(tmp_path, lines, model, head, form):
    there = model.clone(num_classes=7)
    variables, like = values(there), values(model, seed=1)
    source: Any = as_torch(there, variables)
    if form == 'ours':
        source = tmp_path / 'a.safetensors'
        weights.save(source, there, variables)
    found = weights.variables_for(model, source, like, report=lines.append)
    assert equal(found['params'].pop(head), like['params'].pop(head))
    variables['params'].pop(head)
    assert equal(found, variables)
    what = source if form == 'ours' else 'the dict of weights'
    assert lines == [f'{head}: 7 classes in {what}, 5 here; starting anew']
    with pytest.raises(CnnJaxError, match=f'has 7 classes and the model 5; {head} would be untrained'):
        weights.variables_for(model, source, shapes_of(model, SHAPE), report=lines.append)


@pytest.mark.parametrize('form', ['ours', 'torchvision'])
@pytest.mark.parametrize('changes', [{'width': 1 / 8}, {'stage_sizes': (1, 2)}, {'width': 1 / 8, 'num_classes': 7}])
def test_another_model_is_refused_with_what_differs(lines, form, changes):
    there = RESNET.clone(**changes)
    source = values(there) if form == 'ours' else as_torch(there, values(there))
    with pytest.raises(CnnJaxError, match=r'does not fit the model: .*(unexpected|mis-shaped): '):
        weights.variables_for(RESNET, source, values(RESNET), report=lines.append)


@pytest.mark.parametrize('arch', ['resnet34', 'wide_resnet50_2', 'vgg11_bn', 'alexnet'])
def test_a_file_of_another_published_net_is_named_and_the_line_is_short(lines, arch):
    model = architectures.ARCHITECTURES[arch]()
    source = as_torch_shapes(model)
    source |= {name.replace('running_mean', 'num_batches_tracked'): np.int64(0) for name in source if 'mean' in name}
    with pytest.raises(CnnJaxError, match=f'; it is a file of {arch}$') as caught:
        weights.variables_for(RESNET, source, values(RESNET), report=lines.append)
    assert len(str(caught.value)) < 500


def as_torch_shapes(model):
    """Arrays by torchvision's names that take no memory."""
    wanted = slots(model, variable_shapes(model), 'torchvision')
    return {name: np.broadcast_to(np.float32(0), slot.theirs) for name, slot in wanted.items()}


def test_an_inner_layer_of_another_width_is_no_head(lines):
    model = LeNet(num_classes=16)  # as many as conv3 has filters
    variables = values(model, image_shape=(32, 32, 1))
    kernel = variables['params']['conv3']['kernel']
    assert kernel.shape[-1] == 16
    variables['params']['conv3']['kernel'] = kernel[..., :10]
    variables['params']['conv3']['bias'] = variables['params']['conv3']['bias'][:10]
    variables['params']['conv5']['kernel'] = variables['params']['conv5']['kernel'][:, :, :10]
    with pytest.raises(CnnJaxError, match='3 mis-shaped'):
        weights.variables_for(model, variables, values(model, image_shape=(32, 32, 1)), report=lines.append)


def googlenet(**options) -> nn.Module:
    return GOOGLENET['torchvision'](width=1 / 16, num_classes=5, **options)


def test_auxiliary_heads_may_come_and_go(lines):
    model, trunk = googlenet(), googlenet(aux_heads=False)
    variables, like = values(model), values(model, seed=1)
    arrays = as_torch(model, variables)
    without = {name: array for name, array in arrays.items() if not name.startswith('aux')}
    found = weights.variables_for(model, without, like, report=lines.append)
    assert lines == ['aux1, aux2: not in the dict of weights; starting anew']
    for head in ('aux1', 'aux2'):
        assert equal(found['params'][head], like['params'][head])
        assert equal(found['batch_stats'][head], like['batch_stats'][head])
    assert equal(found['params']['fc'], variables['params']['fc'])
    found = weights.variables_for(trunk, arrays, values(trunk), report=lines.append)
    assert set(found['params']) == set(variables['params']) - {'aux1', 'aux2'}
    assert len(lines) == 1


def test_auxiliary_heads_have_classes_too(lines):
    model = googlenet()
    there = model.clone(num_classes=7)
    weights.variables_for(model, as_torch(there, values(there)), values(model), report=lines.append)
    assert lines == ['aux1/fc2, aux2/fc2, fc: 7 classes in the dict of weights, 5 here; starting anew']


def test_the_released_googlenet_warns_of_its_input(tmp_path, lines, monkeypatch):
    model, path = googlenet(), tmp_path / 'a.safetensors'
    arrays = as_torch(model, values(model))
    safetensors.numpy.save_file({name: np.asarray(array, order='C') for name, array in arrays.items()}, path)
    monkeypatch.setattr(architectures, 'GOOGLENET_RELEASE', '')
    weights.variables_for(model, path, values(model), report=lines.append)
    assert len(lines) == 1
    assert 'transform_input=True' in lines[0]
    weights.variables_for(model.clone(transform_input=True), path, values(model), report=lines.append)
    assert len(lines) == 1


def test_the_dtypes_are_those_of_the_model(lines):
    like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, jnp.bfloat16), shapes_of(RESNET, SHAPE))
    found = weights.variables_for(RESNET, values(RESNET), like, report=lines.append)
    assert {np.dtype(leaf.dtype) for leaf in jax.tree.leaves(found)} == {np.dtype(jnp.bfloat16)}


def test_what_is_not_weights(tmp_path, lines):
    like = values(RESNET)
    for source, words in (
        (tmp_path / 'absent.pth', 'no such file'),
        (tmp_path, 'is a folder'),
    ):
        with pytest.raises(CnnJaxError, match=words):
            weights.variables_for(RESNET, source, like, report=lines.append)
    (tmp_path / 'a.safetensors').write_bytes(b'no weights')
    with pytest.raises(StorageError, match='not a safetensors file'):
        weights.variables_for(RESNET, tmp_path / 'a.safetensors', like, report=lines.append)
