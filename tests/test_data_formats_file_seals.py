"""Files of a set that take another one's place are found when their split is opened, or where all bytes are read."""

import logging
import shutil

import numpy as np
import pytest

from cnn_jax.data.formats import array_record, encoded, file_seals, shards, tree
from cnn_jax.errors import DataError

pytest.importorskip('array_record')
SPLITS = ('train', 'test')


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A set of arrays and one of encoded images, each with as many rows to test as to train on."""
    home, rng = tmp_path_factory.mktemp('sets'), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 40, 16, 16, 3), np.uint8)
    parts = dict(zip(SPLITS, pixels, strict=True))
    rows = {split: (lambda part=part: ((image, 0) for image in part)) for split, part in parts.items()}
    arrays = array_record.build('cnn_jax_a', home, rows, shape=(16, 16, 3), class_names=['a'])
    items = {}
    for split, part in parts.items():
        (home / split).mkdir()
        for number, image in enumerate(part):
            (home / split / f'{number}.png').write_bytes(array_record.encode_png(image))
        items[split] = tree.list_images(home / split, 0).items
    decoding = encoded.Decoding(8, 8)
    images = shards.build('cnn_jax_b', home, items, class_names=['a'], say=lambda line: None, decoding=decoding)
    return {'arrays': arrays, 'images': images}


def open_set(folder, split):
    if folder.parent.name == 'cnn_jax_a':
        return array_record.ArrayRecordSource(folder, split)
    return encoded.EncodedSource(folder, split, encoded.Decoding(8, 8))


@pytest.fixture(params=['arrays', 'images'])
def folder(made, request, tmp_path):
    source = made[request.param]
    return shutil.copytree(source, tmp_path / source.parent.name / source.name)


def record(folder, split):
    (path,) = folder.glob(f'*-{split}.array_record-*')
    return path


def test_a_training_file_in_the_place_of_a_test_file_is_refused(folder):
    assert len(open_set(folder, 'test')) == len(open_set(folder, 'train')) == 40
    shutil.copy(record(folder, 'train'), record(folder, 'test'))
    open_set(folder, 'train')
    with pytest.raises(DataError, match=r'-test\.array_record-.* is not the file that was written there'):
        open_set(folder, 'test')


def test_one_byte_anywhere_is_found_where_all_are_read(folder, caplog):
    caplog.set_level(logging.INFO)
    with file_seals.wholly():
        open_set(folder, 'test')
    assert 'test: all bytes are as they were written, in 1 files' in caplog.text
    path = record(folder, 'test')
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with file_seals.wholly(), pytest.raises(DataError, match='is not the file that was written there'):
        open_set(folder, 'test')


@pytest.mark.parametrize('change', ['longer', 'strange file'])
def test_other_sizes_and_strange_files_are_refused(folder, change):
    path = record(folder, 'test')
    if change == 'longer':
        path.write_bytes(path.read_bytes() + b'\0')
    else:
        shutil.copy(path, path.with_name(path.name.replace('-00001', '-00002')))
    with pytest.raises(DataError, match='is not the file that was written there'):
        open_set(folder, 'test')


def test_a_set_from_before_is_read_and_sealed_by_prepare(folder, caplog):
    caplog.set_level(logging.INFO)
    before = (folder / file_seals.FILE).read_text()
    (folder / file_seals.FILE).unlink()
    open_set(folder, 'test')
    assert 'does not say what its files were; --mode=prepare' in caplog.text
    with file_seals.wholly():
        open_set(folder, 'test')
    assert sorted((folder / file_seals.FILE).read_text()) == sorted(before)


@pytest.mark.parametrize('content', ['', '[]', '{"a": 1}', '{"a": [1, 2]}'])
def test_damaged_seals_are_an_error(folder, content):
    (folder / file_seals.FILE).write_text(content)
    with pytest.raises(DataError, match=r'cannot read .*files\.json'):
        open_set(folder, 'test')
