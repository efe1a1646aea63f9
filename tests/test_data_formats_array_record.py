"""Our sets on disk: whole or not at all, whatever happens to the process, the disk or the files."""

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

from cnn_jax.data import pipeline
from cnn_jax.data.formats import array_record
from cnn_jax.errors import DataError

SHAPE = (6, 5, 3)
NAME = 'cnn_jax_small'


def examples(num: int, seed: int = 0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 256, shape, dtype=np.uint8), row % 3) for row in range(num)]


def build(data_dir, train=None, again=False, shape=SHAPE):
    splits = {'train': lambda: train or examples(20), 'test': lambda: examples(3, seed=1)}
    return array_record.build(NAME, data_dir, splits, shape=shape, class_names='abc', again=again)


def train_file(folder):
    return folder / f'{NAME}-train.array_record-00000-of-00001'


@pytest.mark.parametrize('shape', [(6, 5, 1), (6, 5, 3)])
def test_rows_come_back_in_order(tmp_path, capfd, shape):
    written = examples(20, shape=shape)
    folder = build(tmp_path, written, shape=shape)
    assert folder == array_record.find(NAME, tmp_path) == tmp_path / NAME / '1.0.0'
    source = array_record.ArrayRecordSource(folder, 'train')
    arrays = pipeline.load_arrays(source)
    np.testing.assert_array_equal(arrays['image'], [image for image, _ in written])
    np.testing.assert_array_equal(arrays['label'], [label for _, label in written])
    np.testing.assert_array_equal(source[7]['image'], written[7][0])
    assert len(array_record.ArrayRecordSource(folder, 'test')) == 3
    assert capfd.readouterr() == ('', '')  # no bars, no bold lines


def test_source_is_a_sequence_and_can_go_to_a_worker(tmp_path):
    source = array_record.ArrayRecordSource(build(tmp_path), 'train')
    for row in (20, -1):
        with pytest.raises(IndexError):
            source[row]
    assert source.__getitems__([]) == []
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[3]['image'], source[3]['image'])


def test_tfds_reads_it_too(tmp_path):
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder_from_directory(build(tmp_path))
    assert builder.info.splits['train'].num_examples == 20
    assert builder.info.features['label'].names == ['a', 'b', 'c']
    image, label = examples(20)[4]
    example = builder.as_data_source('train')[4]
    np.testing.assert_array_equal(example['image'], image)
    assert example['label'] == label
    assert NAME not in tfds.list_builders(with_community_datasets=False)
    assert 'tensorflow' not in sys.modules


def test_a_whole_set_is_kept_unless_asked_again(tmp_path):
    build(tmp_path)
    other = examples(5, seed=9)
    assert len(array_record.ArrayRecordSource(build(tmp_path, other), 'train')) == 20
    assert len(array_record.ArrayRecordSource(build(tmp_path, other, again=True), 'train')) == 5
    assert sorted(path.name for path in (tmp_path / NAME).iterdir()) == ['1.0.0', 'LOCK']


@pytest.mark.parametrize('missing', ['dataset_info.json', f'{NAME}-test.array_record-00000-of-00001'])
def test_part_of_a_set_is_built_again(tmp_path, missing):
    folder = build(tmp_path)
    (folder / missing).unlink()
    assert array_record.find(NAME, tmp_path) is None
    assert array_record.find(NAME, tmp_path / 'elsewhere') is None
    assert len(array_record.ArrayRecordSource(build(tmp_path), 'test')) == 3


@pytest.mark.parametrize('content', ['', '{"name": "cnn', '[]', '{"splits": 3}'])
def test_a_spoilt_description_is_no_set(tmp_path, content):
    (build(tmp_path) / 'dataset_info.json').write_text(content)
    assert array_record.find(NAME, tmp_path) is None


def test_tfrecord_is_named(tmp_path):
    info = build(tmp_path) / 'dataset_info.json'
    content = json.loads(info.read_text())
    del content['fileFormat']  # as TFDS writes it for its default form
    info.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f'data set in tfrecord form: {info.parent}; only ArrayRecord is read'):
        array_record.find(NAME, tmp_path)


def flip(content: bytes) -> bytes:
    middle = content.index(b'IHDR')  # within the first image
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


@pytest.mark.parametrize('damage', [lambda content: b'', lambda content: content[: len(content) // 2], flip])
def test_damaged_records_are_never_data(tmp_path, damage):
    folder = build(tmp_path)
    (folder / 'files.json').unlink()  # without it each record is still checked
    train_file(folder).write_bytes(damage(train_file(folder).read_bytes()))
    with pytest.raises(DataError, match=f'unreadable data set: {folder}; .*; delete that folder and prepare') as caught:
        pipeline.load_arrays(array_record.ArrayRecordSource(folder, 'train'))
    assert '\n' not in str(caught.value)


def test_killed_while_building(tmp_path):
    code = f"""
    import os, signal
    from pathlib import Path
    import numpy as np
    from cnn_jax.data.formats import array_record

    def examples():
        yield np.zeros({SHAPE}, np.uint8), 0
        os.kill(os.getpid(), signal.SIGKILL)

    array_record.build({NAME!r}, Path({str(tmp_path)!r}), {{'train': examples}}, shape={SHAPE}, class_names='abc')
    """
    killed = subprocess.run([sys.executable, '-c', textwrap.dedent(code)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / NAME).glob('building-*'))
    assert array_record.find(NAME, tmp_path) is None
    assert len(array_record.ArrayRecordSource(build(tmp_path), 'train')) == 20
    assert sorted(path.name for path in (tmp_path / NAME).iterdir()) == ['1.0.0', 'LOCK']


def test_failing_examples_leave_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        array_record.build(NAME, tmp_path, {'train': interrupted}, shape=SHAPE, class_names='abc')
    assert [path.name for path in (tmp_path / NAME).iterdir()] == ['LOCK']


def interrupted():
    yield examples(1)[0]
    raise KeyboardInterrupt


def test_full_disk(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(
            DataError, match=f'cannot write the data set {NAME} below {tmp_path}: .*--data_dir'
        ) as caught:
            build(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert '\n' not in str(caught.value)
    assert len(array_record.ArrayRecordSource(build(tmp_path), 'train')) == 20


def test_unwritable_folder(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='Not a directory; give a folder that can be written with --data_dir=FOLDER'):
        build(tmp_path / 'file' / 'below')


@pytest.mark.skipif(os.getuid() == 0, reason='root may write anywhere')
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match='Permission denied; give a folder'):
        build(tmp_path)


def test_read_only_set_is_read(tmp_path, monkeypatch):
    build(tmp_path)
    monkeypatch.setattr(os, 'open', None)  # no lock is taken, nothing is opened for writing
    assert array_record.find(NAME, tmp_path)


def test_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError('no locks available')

    monkeypatch.setattr('fcntl.flock', refuse)
    other = tmp_path / NAME / 'building-by-another'
    other.mkdir(parents=True)
    build(tmp_path)
    assert other.exists()  # it may be at work, nothing says that it is not
