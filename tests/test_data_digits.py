"""The digits: exact pixels, the split, and a first use that needs nothing and nobody."""

import hashlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from cnn_jax.data import digits, pipeline
from cnn_jax.errors import DataError


@pytest.fixture(scope='module')
def arrays(data_dir):
    data = digits.load(batch_size=8, validation=0)
    return {split: pipeline.load_arrays(data.open(split, data_dir)) for split in data.splits}


def test_description_touches_no_disk(monkeypatch):
    monkeypatch.setattr('builtins.open', None)
    data = digits.load(batch_size=8)
    assert data.splits == {'train': 1293, 'validation': 144, 'test': 360}
    assert (data.num_classes, data.image_shape) == (10, (32, 32, 1))
    assert data.class_names == ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')


def test_pixels_and_split_are_scikit_learns(arrays):
    scans, targets = load_digits(return_X_y=True)
    parts = train_test_split(scans, targets, test_size=360, stratify=targets, random_state=0)
    for split, images, labels in (('train', parts[0], parts[2]), ('test', parts[1], parts[3])):
        images = np.asarray(images).reshape(-1, 8, 8)
        expected = np.zeros((len(images), 32, 32, 1), np.uint8)  # the recipe again, as a loop over pixels
        for row in range(24):
            for column in range(24):
                expected[:, 4 + row, 4 + column, 0] = np.round(images[:, row // 3, column // 3] * 255 / 16)
        np.testing.assert_array_equal(arrays[split]['image'], expected)
        np.testing.assert_array_equal(arrays[split]['label'], labels)


def test_counts_are_stratified(arrays):
    train, test = (np.bincount(arrays[split]['label'], minlength=10) for split in ('train', 'test'))
    assert (train.sum(), test.sum()) == (1437, 360)
    np.testing.assert_array_equal(train + test, np.bincount(load_digits(return_X_y=True)[1]))
    np.testing.assert_allclose(test, (train + test) * 360 / 1797, atol=1)


def test_golden_pixels(arrays):
    """An image that changed would change every published number."""
    digest = hashlib.sha256(arrays['train']['image'].tobytes() + arrays['test']['image'].tobytes()).hexdigest()
    assert digest[:16] == '25c088fb735074ae'


def test_two_processes_at_once_without_network_or_tensorflow(tmp_path):
    code = """
    import hashlib, socket, sys
    from pathlib import Path
    socket.socket.connect = None
    from cnn_jax.data import digits, pipeline
    data = digits.load(batch_size=8)
    arrays = pipeline.load_arrays(data.open('test', Path(sys.argv[1])))
    assert 'tensorflow' not in sys.modules
    print(hashlib.sha256(arrays['image'].tobytes()).hexdigest())
    """
    command = [sys.executable, '-W', 'error', '-c', textwrap.dedent(code), str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in running]
    assert [errors for _, errors in outputs] == ['', '']
    assert len({digest for digest, _ in outputs}) == 1
    assert sorted(path.name for path in (tmp_path / 'cnn_jax_digits').iterdir()) == ['1.0.0', 'LOCK']


def test_prepare_says_what_it_did(data_dir):
    lines = []
    digits.load(batch_size=8).prepare(data_dir, lines.append)
    folder = data_dir / 'cnn_jax_digits' / '1.0.0'
    assert lines == [
        f'digits train: 1,437 images in {folder}',
        f'digits test: 360 images in {folder}',
        'digits validation: 144 of the training images, held out',
    ]


def test_unwritable_data_dir(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match=r'cnn_jax_digits below .*file: Not a directory; .*--data_dir=FOLDER') as caught:
        digits.load(batch_size=8).open('train', tmp_path / 'file')
    assert caught.value.exit_code == 3


def test_another_set_of_the_same_name(tmp_path):
    splits = {split: lambda: [(np.zeros((32, 32, 1), np.uint8), 0)] for split in ('train', 'test')}
    digits.array_record.build('cnn_jax_digits', tmp_path, splits, shape=(32, 32, 1), class_names=digits.CLASS_NAMES)
    with pytest.raises(DataError, match=r'train has 1 images, 1437 expected: .*1\.0\.0; delete that folder'):
        digits.load(batch_size=8).open('train', tmp_path)
