"""Parity: each usual mistake is planted, and found at the right layer with the right name."""

import io
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.layers import BatchNorm, MaxPool
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG
from cnn_jax.weights import parity
from cnn_jax.weights.convert import flatten, unflatten, variable_shapes
from cnn_jax.weights.parity import LOGITS, Runner, measure, table
from cnn_jax.weights.reference import read_reference

RESNET = ResNet(depth=18, width=1 / 8, stage_sizes=(1, 1), num_classes=5)
VGG_SMALL = VGG(stage_sizes=(1, 1), width=1 / 16, num_classes=5)
IMAGES = np.random.default_rng(1).standard_normal((2, 32, 32, 3)).astype(np.float32)


def random_variables(model) -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key in ('scale', 'var'):
            return rng.uniform(0.1, 1.0, leaf.shape).astype(leaf.dtype)
        values = rng.standard_normal(leaf.shape) * np.sqrt(2 * leaf.shape[-1] / max(leaf.size, 1))
        return values.astype(leaf.dtype)

    return jax.tree.map_with_path(draw, variable_shapes(model, IMAGES.shape[1:]))


VARIABLES = {model: random_variables(model) for model in (RESNET, VGG_SMALL)}


def stored(model, names, fields=None, variables=None) -> dict[str, np.ndarray]:
    """What another implementation would store."""
    outputs = Runner(model, jnp.asarray(IMAGES)).run(variables or VARIABLES[model], frozenset(names), fields or {})
    return {'images': IMAGES, **outputs}


def changed(model, path: str, change) -> dict[str, Any]:
    flat = flatten(VARIABLES[model])
    keys = tuple(path.split('/'))
    return unflatten({**flat, keys: change(flat[keys])})


STAGES = ('conv1', 'pool1', 'stage1_block1', 'stage2_block1', 'fc', LOGITS)
VGG_LAYERS = ('conv1_1', 'pool1', 'conv2_1', 'pool2', 'fc6', 'fc7', 'fc8')


def test_the_same_model_agrees_everywhere():
    result = measure(RESNET, VARIABLES[RESNET], stored(RESNET, STAGES))
    assert result.first is None
    assert tuple(result.differences) == STAGES  # in order of execution
    assert max(result.differences.values()) < 1e-6
    assert 'all 6 layers agree' in table(result)


def test_references_may_have_channels_first():
    reference = stored(VGG_SMALL, ('conv1_1', 'fc8'))
    reference = {name: np.moveaxis(array, -1, 1) if array.ndim == 4 else array for name, array in reference.items()}
    assert measure(VGG_SMALL, VARIABLES[VGG_SMALL], reference).first is None


PLANTED = {
    'transposed kernel': ('params/conv2_1/kernel', lambda k: k.transpose(1, 0, 2, 3), 'conv2_1', 'height and width'),
    'flipped kernel': ('params/conv2_1/kernel', lambda k: k[::-1, ::-1], 'conv2_1', 'convolution for cross'),
    'in and out': ('params/fc7/kernel', lambda k: k.T, 'fc7', 'in and out exchanged'),
    'flatten order': (
        'params/fc6/kernel',
        lambda k: k.reshape(8, 8, 8, -1).transpose(2, 0, 1, 3).reshape(k.shape),
        'fc6',
        'kernel stored (channels, height, width)',
    ),
    'flatten order twice': (
        'params/fc6/kernel',
        lambda k: k.reshape(8, 8, 8, -1).transpose(1, 2, 0, 3).reshape(k.shape),
        'fc6',
        'channels last twice',
    ),
    'RGB and BGR': ('params/conv1_1/kernel', lambda k: k[:, :, ::-1], 'conv1_1', 'RGB and BGR'),
}


@pytest.mark.parametrize('what', PLANTED)
def test_mistakes_in_the_weights_are_found(what):
    path, change, layer, words = PLANTED[what]
    result = measure(VGG_SMALL, changed(VGG_SMALL, path, change), stored(VGG_SMALL, VGG_LAYERS))
    assert result.first == layer
    assert result.differences[layer] > 0.1
    assert len(result.causes) == 1
    assert words in result.causes[0]
    assert layer in result.causes[0]
    text = table(result)
    assert f'{layer:<32} {result.differences[layer]:.2g}  the first that differs' in text
    assert f'the difference vanishes with: {result.causes[0]}' in text


def test_another_epsilon_is_found_at_the_first_layer(monkeypatch):
    fields = {name: {'epsilon': 1e-3} for name in ('conv1/norm', 'stage1_block1/conv1/norm')}
    result = measure(RESNET, VARIABLES[RESNET], stored(RESNET, STAGES, fields))
    assert result.first == 'conv1'
    assert result.causes == ['BatchNorm epsilon 0.001 (conv1/norm)']
    assert BatchNorm().epsilon == 1e-5  # nothing of the trial is left


@pytest.mark.parametrize(
    ('layer', 'field', 'first'),
    [
        ('pool1', {'padding': ((0, 1), (0, 1))}, 'pool1'),
        ('conv1/conv', {'padding': 'same'}, 'conv1'),  # rows 2 before, 3 after
        ('stage2_block1/conv1/conv', {'padding': ((0, 1), (0, 1))}, 'stage2_block1'),
    ],
)
def test_another_padding_side_is_found(layer, field, first):
    result = measure(RESNET, VARIABLES[RESNET], stored(RESNET, STAGES, {layer: field}))
    assert result.first == first
    sides = {'conv1': 'padding side, 2 before and 3 after'}.get(first, 'padding side, 0 before and 1 after')
    assert [cause for cause in result.causes if cause.startswith(sides) and layer in cause]
    assert MaxPool(2).padding == 'valid'


def test_one_wrong_kernel_of_several_in_a_stage_is_named():
    path = 'params/stage1_block1/conv2/conv/kernel'
    wrong = changed(RESNET, path, lambda kernel: kernel.transpose(1, 0, 2, 3))
    result = measure(RESNET, wrong, stored(RESNET, STAGES))
    assert result.first == 'stage1_block1'
    assert result.causes == ['kernel transposed, height and width exchanged (stage1_block1/conv2/conv)']


def test_what_nothing_explains_is_said():
    wrong = changed(VGG_SMALL, 'params/conv2_1/bias', lambda bias: bias + 1)
    result = measure(VGG_SMALL, wrong, stored(VGG_SMALL, VGG_LAYERS))
    assert result.first == 'conv2_1'
    assert result.causes == []
    assert table(result).endswith('none of these explains it')


def test_other_shapes_and_values_that_are_no_numbers_differ():
    reference = stored(VGG_SMALL, VGG_LAYERS)
    reference['pool1'] = reference['pool1'][:, :-1]
    result = measure(VGG_SMALL, VARIABLES[VGG_SMALL], reference)
    assert result.first == 'pool1'
    assert '(2, 15, 16, 4) in the reference' in table(result)
    broken = changed(VGG_SMALL, 'params/conv2_1/bias', lambda bias: bias * np.nan)
    assert measure(VGG_SMALL, broken, stored(VGG_SMALL, VGG_LAYERS)).first == 'conv2_1'


def test_references_that_do_not_fit():
    reference = stored(VGG_SMALL, ('conv1_1',))
    with pytest.raises(CnnJaxError, match=r"'conv1' is no layer of the model; choose from: .*conv1_1"):
        measure(VGG_SMALL, VARIABLES[VGG_SMALL], {**reference, 'conv1': reference['conv1_1']})
    with pytest.raises(CnnJaxError, match='no array "images"'):
        measure(VGG_SMALL, VARIABLES[VGG_SMALL], {'conv1_1': reference['conv1_1']})
    with pytest.raises(CnnJaxError, match="'nothing' is no layer"):
        measure(VGG_SMALL, VARIABLES[VGG_SMALL], {'images': IMAGES})
    with pytest.raises(CnnJaxError, match='images of shape'):
        measure(VGG_SMALL, VARIABLES[VGG_SMALL], {**reference, 'images': IMAGES[0]})


def test_files_are_read_without_pickle(tmp_path):
    path = tmp_path / 'a.npz'
    arrays: dict[str, Any] = {'images': IMAGES, 'stage1_block1/conv1': np.asfortranarray(IMAGES[0, :, :, 0])}
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays)
        found = read_reference(path)
        assert set(found) == set(arrays)
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    np.savez(path, images=np.array([{}], dtype=object))
    with pytest.raises(StorageError, match='holds objects'):
        read_reference(path)
    np.savez_compressed(path, images=np.zeros(10**7))
    with pytest.raises(StorageError, match='compressed over 100 times'):
        read_reference(path)
    many: Any = {f'small{number}': np.zeros(10**5) for number in range(100)}
    np.savez_compressed(path, **many)
    with pytest.raises(StorageError, match='compressed over 100 times'):
        read_reference(path)
    np.savez_compressed(path, images=IMAGES)
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(200) + content[400:])
    with pytest.raises(StorageError, match=r'not a whole \.npz file'):
        read_reference(path)
    with pytest.raises(CnnJaxError, match=r'no such \.npz file'):
        read_reference(tmp_path / 'absent.npz')


def test_shapes_that_lie_are_refused(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {'descr': '<f4', 'fortran_order': False, 'shape': (10**6, 10**6)})
    for content in (stream.getvalue() + bytes(16), b'', b'\x93NUMPY\x01\x00'):
        with zipfile.ZipFile(tmp_path / 'a.npz', 'w') as archive:
            archive.writestr('images.npy', content)
        with pytest.raises(StorageError, match=r'not a whole \.npz file'):
            read_reference(tmp_path / 'a.npz')
    (tmp_path / 'a.npz').write_bytes(b'no archive')
    with pytest.raises(StorageError, match=r'not a whole \.npz file'):
        read_reference(tmp_path / 'a.npz')


def test_a_file_is_compared_as_a_dict_is(tmp_path):
    arrays: dict[str, Any] = stored(RESNET, STAGES)
    np.savez(tmp_path / 'a.npz', **arrays)
    result = parity.measure(RESNET, VARIABLES[RESNET], tmp_path / 'a.npz')
    assert result.first is None
