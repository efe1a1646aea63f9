"""MNIST from IDX files: small ones made here from scikit-learn's scans, whole, missing, spoilt and of another set."""

import gzip
import struct
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnn_jax.data import mnist, pipeline
from cnn_jax.errors import DataError


def make_idx(folder, *, num_train=40, num_test=20, seed=0, compressed=False):
    """Writes the four files and returns what is in them, {split: (images (n, 28, 28), labels)}."""
    folder.mkdir(parents=True, exist_ok=True)
    scans, targets = load_digits(return_X_y=True)
    made = {}
    for (split, names), num in zip(mnist.FILES.items(), (num_train, num_test), strict=True):
        chosen = np.random.default_rng([seed, num]).permutation(len(scans))[:num]
        images = np.kron(scans[chosen].reshape(-1, 8, 8) * 15, np.ones((1, 3, 3))).astype(np.uint8)
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))  # (num, 28, 28)
        made[split] = images, targets[chosen].astype(np.uint8)
        for name, array, magic in zip(names, made[split], (0x0803, 0x0801), strict=True):
            content = struct.pack(f'>{1 + array.ndim}I', magic, *array.shape) + array.tobytes()
            (folder / (name + '.gz' * compressed)).write_bytes(gzip.compress(content) if compressed else content)
    return made


def prepare(data_dir) -> list[str]:
    lines = []
    mnist.load(batch_size=8).prepare(data_dir, lines.append)
    return lines


def assert_prepared(data_dir, made):
    data = mnist.load(batch_size=8)
    for split, (images, labels) in made.items():
        arrays = pipeline.load_arrays(data.open(split, data_dir))
        expected = np.zeros((len(images), *data.image_shape), np.uint8)
        expected[:, 2:30, 2:30, 0] = images
        np.testing.assert_array_equal(arrays['image'], expected)
        np.testing.assert_array_equal(arrays['label'], labels)


def test_description_touches_no_disk(monkeypatch):
    monkeypatch.setattr('builtins.open', None)
    data = mnist.load(batch_size=8)
    assert (data.num_train, data.num_test, data.num_classes, data.image_shape) == (60_000, 10_000, 10, (32, 32, 1))
    assert pipeline.is_resident(data)
    assert [sum(counts) for counts in mnist.PUBLISHED.values()] == [60_000, 10_000]


@pytest.mark.parametrize('place', mnist.PLACES)
@pytest.mark.parametrize('compressed', [False, True])
def test_prepare_and_open(tmp_path, place, compressed):
    made = make_idx(tmp_path / place, compressed=compressed)
    lines = prepare(tmp_path)
    folder = tmp_path / 'cnn_jax_mnist' / '1.0.0'
    assert lines == [
        f'mnist: reading the IDX files in {tmp_path / place}',
        'mnist train: 40 of 40 images written',
        'mnist test: 20 of 20 images written',
        f'mnist train: 40 images in {folder}',
        'mnist train: NOT the 60,000 published images: the counts per digit differ',
        f'mnist test: 20 images in {folder}',
        'mnist test: NOT the 10,000 published images: the counts per digit differ',
    ]
    assert_prepared(tmp_path, made)
    data = mnist.load(batch_size=8)
    assert pipeline.size_note(data, 'train', data.open('train', tmp_path)) == (
        'mnist: train has 40 images here, 60,000 in the published set'
    )
    assert 'tensorflow' not in sys.modules


def test_published_counts_are_recognised(tmp_path, monkeypatch):
    made = make_idx(tmp_path / 'mnist')
    counts = {split: tuple(np.bincount(labels, minlength=10)) for split, (_, labels) in made.items()}
    monkeypatch.setattr(mnist, 'PUBLISHED', counts)
    assert not any('NOT' in line for line in prepare(tmp_path))


def test_prepare_again(tmp_path):
    make_idx(tmp_path / 'mnist')
    prepare(tmp_path)
    assert not any('written' in line for line in prepare(tmp_path))  # the same files: checked, not built
    made = make_idx(tmp_path / 'mnist', num_train=50, seed=1)
    lines = prepare(tmp_path)
    assert any('was made from other files, it is built again' in line for line in lines)
    assert_prepared(tmp_path, made)
    for file in (tmp_path / 'mnist').iterdir():
        file.unlink()
    assert prepare(tmp_path)[0].startswith('mnist train: 50 images')  # the files are not needed any more
    assert_prepared(tmp_path, made)


def test_prepare_mends_a_spoilt_set(tmp_path):
    made = make_idx(tmp_path / 'mnist')
    prepare(tmp_path)
    records = tmp_path / 'cnn_jax_mnist' / '1.0.0' / 'cnn_jax_mnist-train.array_record-00000-of-00001'
    records.write_bytes(records.read_bytes()[:1000])
    with pytest.raises(DataError, match='unreadable data set'):
        mnist.load(batch_size=8).open('train', tmp_path)
    prepare(tmp_path)
    assert_prepared(tmp_path, made)
    records.unlink()
    prepare(tmp_path)
    assert_prepared(tmp_path, made)


def test_spoilt_set_and_no_files(tmp_path):
    """F13: a half prepared set."""
    make_idx(tmp_path / 'mnist')
    prepare(tmp_path)
    records = tmp_path / 'cnn_jax_mnist' / '1.0.0' / 'cnn_jax_mnist-train.array_record-00000-of-00001'
    records.write_bytes(records.read_bytes()[:1000])
    for file in (tmp_path / 'mnist').iterdir():
        file.unlink()
    with pytest.raises(DataError, match='cannot be read; put the four IDX files into'):
        prepare(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError) as caught:
        prepare(tmp_path)
    message = str(caught.value)
    assert all(name in message for names in mnist.FILES.values() for name in names)
    assert all(str(tmp_path / place) in message for place in mnist.PLACES)
    assert caught.value.exit_code == 3
    assert '\n' not in message


def test_open_says_what_to_do(tmp_path):
    data = mnist.load(batch_size=8)
    command = f'python -m cnn_jax.main --mode=prepare --experiment=lenet_mnist --data_dir={tmp_path}'
    with pytest.raises(DataError, match=f'put train-images-idx3-ubyte, .* into {tmp_path}/mnist and run {command}$'):
        data.open('train', tmp_path)
    make_idx(tmp_path / 'mnist')
    with pytest.raises(DataError, match=f'its files are in {tmp_path}/mnist: run {command}$'):
        data.open('train', tmp_path)


def test_some_files_missing(tmp_path):
    make_idx(tmp_path / 'mnist')
    (tmp_path / 'mnist' / 't10k-images-idx3-ubyte').unlink()
    (tmp_path / 'mnist' / 't10k-labels-idx1-ubyte').unlink()
    message = f'missing in {tmp_path}/mnist: t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte'
    with pytest.raises(DataError, match=message):
        prepare(tmp_path)


def test_files_of_two_folders_are_not_mixed(tmp_path):
    made = make_idx(tmp_path / 'MNIST' / 'raw')
    make_idx(tmp_path / 'mnist', seed=3)
    (tmp_path / 'mnist' / 'train-images-idx3-ubyte').unlink()
    prepare(tmp_path)
    assert_prepared(tmp_path, made)


def write(path, magic, array):
    path.write_bytes(struct.pack(f'>{1 + array.ndim}I', magic, *array.shape) + array.tobytes())


@pytest.mark.parametrize(
    ('name', 'magic', 'array', 'message'),
    [
        ('train-labels-idx1-ubyte', 0x0801, np.zeros(39, np.uint8), 'do not belong together: .*40 images, .*39 labels'),
        ('train-labels-idx1-ubyte', 0x0801, np.full(40, 10, np.uint8), 'it has the label 10, MNIST has 0 to 9'),
        ('t10k-images-idx3-ubyte', 0x0803, np.zeros((20, 32, 32), np.uint8), r'its images are \(20, 32, 32\)'),
        ('t10k-images-idx3-ubyte', 0x0803, np.zeros((0, 28, 28), np.uint8), r'its images are \(0, 28, 28\)'),
        ('t10k-images-idx3-ubyte', 0x0801, np.zeros(20, np.uint8), 'it starts with 00000801'),
    ],
)
def test_unusable_files(tmp_path, name, magic, array, message):
    make_idx(tmp_path / 'mnist')
    write(tmp_path / 'mnist' / name, magic, array)
    with pytest.raises(DataError, match=message) as caught:
        prepare(tmp_path)
    assert str(tmp_path / 'mnist' / name) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'cnn_jax_mnist').exists()  # every file is checked before anything is built


def test_truncated_file(tmp_path):
    make_idx(tmp_path / 'mnist')
    path = tmp_path / 'mnist' / 'train-images-idx3-ubyte'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f'{path}; cut short'):
        prepare(tmp_path)
