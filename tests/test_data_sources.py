"""What every data source promises: one file, a `load` that opens nothing, rows as its description says."""

import importlib
import inspect
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from small_imagenet import imagenet_classes, make_tree
from test_data_cifar import make_cifar
from test_data_mnist import make_idx

import cnn_jax.data
from cnn_jax.data import coco, div2k, flic, order, pet, pipeline, streaming, voc
from cnn_jax.errors import CnnJaxError, DataError

FOLDER = Path(cnn_jax.data.__file__).parent
OTHERS = ('__init__', 'bundled', 'held_out', 'order', 'pipeline', 'streaming')  # what is no source
SOURCES = sorted(
    path.stem for path in FOLDER.glob('*.py') if path.stem not in OTHERS and not path.stem.startswith('augment')
)
CLASSES_OF_IMAGENETTE = tuple(importlib.import_module('cnn_jax.data.imagenette').CLASSES)
SUPPLIED = {  # what a user puts below data_dir, made small
    'cifar': lambda data_dir: make_cifar(data_dir / 'cifar'),
    'coco': lambda data_dir: coco.write_small(data_dir / coco.NAME),
    'div2k': lambda data_dir: div2k.write_small(data_dir / div2k.NAME),
    'flic': lambda data_dir: flic.write_small(data_dir / flic.NAME),
    'imagenet': lambda data_dir: make_tree(data_dir / 'imagenet', classes=imagenet_classes()),
    'imagenette': lambda data_dir: make_tree(
        data_dir / 'imagenette' / 'imagenette2-320', classes=CLASSES_OF_IMAGENETTE, train=2, val=1
    ),
    'mnist': lambda data_dir: make_idx(data_dir / 'mnist'),
    'pet': lambda data_dir: pet.write_small(data_dir / pet.NAME),
    'voc': lambda data_dir: voc.write_small(data_dir / voc.NAME),
}


NOT_BELOW_DATA_DIR = {'synthetic', 'digit_pairs', 'arrays', 'unlabelled'}  # what reads nothing there
IN_MEMORY = {
    'images': np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8),
    'labels': np.arange(40) % 2,
}


@pytest.fixture(scope='module', autouse=True)
def small_published_sets():
    """Three classes of ImageNet, and the digests of the files made here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('cnn_jax.data.imagenet.class_names', imagenet_classes)
        patch.setattr('cnn_jax.data.cifar.check_file', lambda path, md5, say: None)
        yield


@pytest.fixture(scope='module')
def own_folder(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp('own'))


def load(name: str, batch_size: int = 8, folder: Path | None = None) -> pipeline.Data:
    smoke = {'smoke': True}  # their words are in a file of the user's
    options = {'folder': {'folder': str(folder)}, 'arrays': IN_MEMORY, 'coco_captions': smoke, 'visual7w': smoke}
    options |= {'div2k': {'size': div2k.SMALL_SIZE, 'held_out': 2}}
    options = options.get(name, {})
    return importlib.import_module(f'cnn_jax.data.{name}').load(batch_size=batch_size, **options)


@pytest.fixture(scope='module', params=SOURCES)
def prepared(request, tmp_path_factory, data_dir, own_folder):
    """A source's description, and a folder in which it is prepared."""
    data = load(request.param, folder=own_folder)
    if request.param in SUPPLIED or request.param == 'folder':
        data_dir = tmp_path_factory.mktemp(request.param)
        SUPPLIED.get(request.param, lambda data_dir: None)(data_dir)
    data.prepare(data_dir, lambda line: None)
    return data, data_dir


@pytest.mark.parametrize('name', SOURCES)
def test_load_takes_keywords_and_checks_them(name, own_folder):
    module = importlib.import_module(f'cnn_jax.data.{name}')
    parameters = inspect.signature(module.load).parameters
    assert parameters['batch_size'].default is inspect.Parameter.empty
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters.values())
    assert module.__doc__
    assert module.load.__doc__
    with pytest.raises(CnnJaxError, match='batch_size: got 0'):
        load(name, batch_size=0, folder=own_folder)


def test_rows_are_as_described(prepared):
    data, data_dir = prepared
    for split in data.splits:
        source = data.open(split, data_dir)
        example = source[0]
        assert example['image'].shape == data.image_shape
        arrays = pipeline.load_arrays(source, data.row_fields)
        assert arrays['image'].shape == (len(source), *data.image_shape)
        assert arrays['image'].dtype == np.uint8
        assert np.ptp(arrays['image']) > 100  # a picture, on the scale 0 .. 255
        for name, field in data.row_fields.items():
            assert arrays[name].shape == (len(source), *field.shape)
            assert arrays[name].dtype == field.dtype
        if data.fields is None:
            assert 0 <= arrays['label'].min() <= arrays['label'].max() < data.num_classes


def test_both_ways_of_feeding_agree(prepared):
    data, data_dir = prepared
    if data.streamed:
        pytest.skip('rows change from epoch to epoch: never kept')
    source = data.open('train', data_dir)
    arrays = pipeline.load_arrays(source, data.row_fields)
    stream = streaming.stream(source, seed=3, batch_size=8, start_step=4, fields=data.row_fields)
    for step, batch in enumerate(islice(stream, 3), start=4):
        index, epoch = order.rows(len(source), 3, step, 8)
        expected = pipeline.gather(arrays, index, epoch=epoch)
        for key in expected:
            np.testing.assert_array_equal(batch[key], expected[key])
    assert 'tensorflow' not in sys.modules


@pytest.mark.parametrize('name', sorted(set(SOURCES) - NOT_BELOW_DATA_DIR))
def test_missing_data_says_what_to_do(name, tmp_path, own_folder):
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='--data_dir') as caught:
        load(name, folder=own_folder).open('train', tmp_path / 'file')
    assert '\n' not in str(caught.value)
