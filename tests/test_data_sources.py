"""What every data source promises: one file, a `load` that opens nothing, rows as its description says."""

import importlib
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from forms import sound, takes_part
from small_imagenet import imagenet_classes, make_tree
from test_data_cifar import make_cifar
from test_data_mnist import make_idx

from cnn_jax.data import div2k, order, pipeline, streaming
from cnn_jax.errors import CnnJaxError, DataError

MODULES = sound('data source')
CLASSES_OF_IMAGENETTE = tuple(importlib.import_module('cnn_jax.data.imagenette').CLASSES)
SUPPLIED = {  # what a user puts below data_dir, made small here; other files have a `write_small` of their own
    'cifar': lambda data_dir: make_cifar(data_dir / 'cifar'),
    'folder': lambda data_dir: None,
    'imagenet': lambda data_dir: make_tree(data_dir / 'imagenet', classes=imagenet_classes()),
    'imagenette': lambda data_dir: make_tree(
        data_dir / 'imagenette' / 'imagenette2-320', classes=CLASSES_OF_IMAGENETTE, train=2, val=1
    ),
    'mnist': lambda data_dir: make_idx(data_dir / 'mnist'),
}
BY_OPTION = ('coco_captions', 'visual7w')  # their words are in a file of the user's; `smoke` makes them write one
IN_MEMORY = {
    'images': np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8),
    'labels': np.arange(40) % 2,
}
test_every_source_takes_part = takes_part('data source')


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
    options = {'folder': {'folder': str(folder)}, 'arrays': IN_MEMORY, **{one: {'smoke': True} for one in BY_OPTION}}
    options |= {'div2k': {'size': div2k.SMALL_SIZE, 'held_out': 2}}
    return MODULES[name].load(batch_size=batch_size, **options.get(name, {}))


def supplied(name: str):
    """What writes a small form of what the user supplies below a folder; None where a source needs nothing."""
    module = MODULES[name]
    if name in SUPPLIED or name in BY_OPTION or not hasattr(module, 'write_small'):
        return SUPPLIED.get(name)
    return lambda data_dir: module.write_small(data_dir / module.NAME)


@pytest.fixture(scope='module', params=sorted(MODULES))
def prepared(request, tmp_path_factory, data_dir, own_folder):
    """A source's description, and a folder in which it is prepared."""
    data, write = load(request.param, folder=own_folder), supplied(request.param)
    if write is not None:
        data_dir = tmp_path_factory.mktemp(request.param)
        write(data_dir)
    try:
        data.prepare(data_dir, lambda line: None)
    except DataError as error:
        pytest.fail(
            f'cnn_jax/data/{request.param}.py: add `write_small(folder)`, which writes what the user supplies, made '
            f'small, and `NAME`, that of the folder below --data_dir; without it the tests get: {error}'
        )
    return data, data_dir


@pytest.mark.parametrize('name', sorted(MODULES))
def test_load_checks_what_it_takes(name, own_folder):
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


@pytest.mark.parametrize('name', sorted(MODULES))
def test_missing_data_says_what_to_do_and_what_needs_none_is_there(name, tmp_path, own_folder):
    (tmp_path / 'file').touch()
    data, said = load(name, folder=own_folder), '--data_dir'
    try:
        assert len(data.open('train', tmp_path / 'file')) == data.num_train
    except DataError as error:
        said = str(error)
    except OSError as error:
        pytest.fail(f'cnn_jax/data/{name}.py: make a DataError of {error!r}, which says what the user puts where')
    assert '--data_dir' in said, f'cnn_jax/data/{name}.py: name --data_dir where it says what is missing'
    assert '\n' not in said
