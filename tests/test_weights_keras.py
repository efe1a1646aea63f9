"""Keras' weights files: a backbone is read array by array, and a hostile file is refused in one line."""

import contextlib

import h5py
import jax
import numpy as np
import pytest

from cnn_jax import weights
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.models import vgg
from cnn_jax.weights.convert import variable_shapes
from cnn_jax.weights.keras_file import read_backbone

MODEL = vgg.VGG(num_classes=2, stage_sizes=(1, 2), filters=(4, 6), hidden_units=4)
FIRST = 'block1/layers/conv2d/vars/0'


@pytest.fixture
def backbone(tmp_path):
    """A file of MODEL's convolutions, as Keras 3 writes it, and their arrays by our names."""
    rng, arrays, before, path = np.random.default_rng(0), {}, 3, tmp_path / 'net.weights.h5'
    with h5py.File(path, 'w') as file:
        for block, layers, filters in ((1, 1, 4), (2, 2, 6)):
            for layer in range(1, layers + 1):
                place = f'block{block}/layers/conv2d' + f'_{layer - 1}' * (layer > 1)
                for number, (name, shape) in enumerate((('kernel', (3, 3, before, filters)), ('bias', (filters,)))):
                    values = rng.normal(size=shape).astype(np.float32)
                    file[f'{place}/vars/{number}'] = arrays[f'params/conv{block}_{layer}/{name}'] = values
                before = filters
        file['dsn1/vars/0'] = np.ones((1, 1, 4, 1), np.float32)
    return path, arrays


def test_a_backbone_is_read_and_what_it_lacks_is_said(backbone):
    path, arrays = backbone
    shapes, lines = variable_shapes(MODEL, (8, 8, 3)), []
    with pytest.raises(CnnJaxError, match=r'has no fc6, fc7, fc8, so it knows no classes; --mode=visualize needs none'):
        weights.variables_for(MODEL, path, shapes, report=lines.append)
    found = weights.variables_for(MODEL, path, shapes, report=lines.append, headless=True)
    assert {f'params/{name}/{leaf}' for name, part in found['params'].items() for leaf in part} == {*arrays}
    np.testing.assert_array_equal(found['params']['conv2_2']['kernel'], arrays['params/conv2_2/kernel'])
    initial = jax.tree.map(lambda one: np.ones(one.shape, one.dtype), shapes)
    begun = weights.variables_for(MODEL, path, initial, report=lines.append)
    assert (begun['params']['fc8']['kernel'] == 1).all()
    assert [line.partition(' in ')[2].partition('; ')[2] for line in lines] == ['no classes', 'starting anew']
    images = weights.preprocessing_of(path)
    assert images is not None
    assert (images.channels, images.std) == ('BGR', (1 / 255,) * 3)
    other = MODEL.clone(stage_sizes=(1, 1))
    shapes = variable_shapes(other, (8, 8, 3))
    with pytest.raises(CnnJaxError, match='conv2_2'):  # another depth does not fit
        weights.variables_for(other, path, shapes, report=print, headless=True)


def _changed(path, change):
    with h5py.File(path, 'a') as file:
        del file[FIRST]
        change(file)


HOSTILE = {
    'a link': lambda file: file.__setitem__(FIRST, h5py.ExternalLink('/etc/passwd', '/')),
    'no array of numbers': lambda file: file.__setitem__(FIRST, np.array([b'text'])),
    'compressed': lambda file: file.create_dataset(FIRST, (3, 3, 3, 4), 'f4', compression='gzip'),
    'in another file': lambda file: file.create_dataset(FIRST, (4,), 'f4', external=[('other', 0, 16)]),
    'too large': lambda file: file.create_dataset(FIRST, (2**20, 2**20), 'f4'),
    'promises': lambda file: file.create_dataset(FIRST, (3, 3, 3, 4), 'f4'),
    'no VGG': lambda file: None,
}


@pytest.mark.parametrize('kind', HOSTILE)
def test_what_does_not_stand_in_the_file_as_it_is_is_refused(backbone, kind):
    path, _ = backbone
    _changed(path, HOSTILE[kind])
    with pytest.raises(StorageError, match=kind) as raised:
        read_backbone(path)
    assert '\n' not in str(raised.value)


def test_damage_is_one_line_or_the_same_shapes(backbone):
    path, arrays = backbone
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for number in range(60):
        broken = bytearray(whole[: rng.integers(8, len(whole))] if number % 3 == 0 else whole)
        for place in rng.integers(8, len(broken), 4):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        with contextlib.suppress(StorageError):  # anything else is a failure
            assert {*read_backbone(path)} <= {*arrays}


def test_without_h5py_the_line_says_what_to_install(backbone, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'h5py', None)
    with pytest.raises(StorageError, match='pip install h5py'):
        read_backbone(backbone[0])
