"""CIFAR from its archives, made small here: binary and pickled, whole, damaged, and a pickle that would run code."""

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.data import cifar, pipeline
from cnn_jax.data.formats import cifar as files
from cnn_jax.errors import DataError


def make_rows(num: int, seed: int, classes: int):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num, 3072), np.uint8), rng.integers(0, classes, num)


def as_binary(rows, labels, variant: str) -> bytes:
    head = labels[:, None] if variant == '10' else np.stack([labels // 5, labels], 1)  # coarse, then fine
    return np.concatenate([head.astype(np.uint8), rows], 1).tobytes()


def as_pickle(rows, labels, variant: str) -> bytes:
    key = b'labels' if variant == '10' else b'fine_labels'
    return pickle.dumps({b'data': rows, key: labels.tolist(), b'filenames': [b'a.png']}, protocol=2)


def write_archive(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w:gz') as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f'cifar/{name}')
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def make_cifar(folder: Path, *, variant: cifar.Variant = '10', python: bool = False):
    """Writes a published archive with a few images; {split: (rows, labels)}."""
    archive = cifar.ARCHIVES[variant][int(python)]
    encode = as_pickle if python else as_binary
    made, members = {}, {}
    for split, names in (('train', archive.train), ('test', archive.test)):
        parts = [make_rows(6, hash_of(name), int(variant)) for name in names]
        members |= {name: encode(*part, variant) for name, part in zip(names, parts, strict=True)}
        made[split] = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
    write_archive(folder / archive.name, members)
    return made


def hash_of(name: str) -> int:
    return sum(name.partition('.')[0].encode())


@pytest.fixture(autouse=True)
def any_digest(monkeypatch):
    monkeypatch.setattr(cifar, 'check_file', lambda path, md5, say: None)


@pytest.mark.parametrize('python', [False, True])
@pytest.mark.parametrize('variant', ['10', '100'])
def test_prepare_and_open(tmp_path, variant, python):
    made = make_cifar(tmp_path / 'cifar', variant=variant, python=python)
    data, lines = cifar.load(batch_size=8, variant=variant), []
    data.prepare(tmp_path, lines.append)
    assert any('NOT the 50,000 published ones' in line for line in lines)
    assert data.num_classes == int(variant)
    for split, (rows, labels) in made.items():
        arrays = pipeline.load_arrays(data.open(split, tmp_path))
        np.testing.assert_array_equal(arrays['label'], labels)
        for channel in range(3):
            plane = rows[:, 1024 * channel : 1024 * (channel + 1)].reshape(-1, 32, 32)
            np.testing.assert_array_equal(arrays['image'][..., channel], plane)


def test_nothing_there(tmp_path):
    data = cifar.load(batch_size=8)
    for act in (lambda: data.open('train', tmp_path), lambda: data.prepare(tmp_path, print)):
        with pytest.raises(DataError, match=r'put cifar-10-binary\.tar\.gz or cifar-10-python\.tar\.gz') as caught:
            act()
        assert caught.value.exit_code == 3


def test_digest_is_checked(tmp_path, monkeypatch):
    from cnn_jax.data.formats.checksum import check_file

    monkeypatch.setattr(cifar, 'check_file', check_file)
    make_cifar(tmp_path / 'cifar')
    with pytest.raises(DataError, match=r'cifar-10-binary\.tar\.gz has the MD5 .*, the published file c32a1d4a'):
        cifar.load(batch_size=8).prepare(tmp_path, print)


class Harmful:
    def __init__(self, marker: str):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_a_pickle_cannot_run_code(tmp_path):
    marker = tmp_path / 'marker'
    for content in (
        pickle.dumps({b'data': Harmful(str(marker))}),
        pickle.dumps(np.array([Harmful(str(marker))], object)),
        b"cnumpy\nload\n(S'x'\ntR.",
    ):
        with pytest.raises(DataError, match='is no batch of CIFAR'):
            files.decode_pickle(content, label_key='labels', where='data_batch_1')
    assert not marker.exists()


def test_pickles_of_python_2_are_read():
    """The published batches: protocol 2, NumPy's old module names, byte strings."""
    rows, labels = make_rows(3, 0, 10)
    content = as_pickle(rows, labels, '10').replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    images, read = files.decode_pickle(content, label_key='labels', where='batch')
    np.testing.assert_array_equal(images[:, 0, 1], rows[:, [1, 1025, 2049]])
    np.testing.assert_array_equal(read, labels)


@pytest.mark.parametrize(
    ('members', 'message'),
    [
        ({}, r'has no data_batch_1\.bin'),
        (dict.fromkeys((*(f'data_batch_{n}.bin' for n in range(1, 6)), 'test_batch.bin'), bytes(3000)), 'no multiple'),
        (dict.fromkeys((*(f'data_batch_{n}.bin' for n in range(1, 6)), 'test_batch.bin'), b'\n' * 3073), 'label 10'),
    ],
)
def test_unusable_archives(tmp_path, members, message):
    write_archive(tmp_path / 'cifar' / 'cifar-10-binary.tar.gz', members)
    with pytest.raises(DataError, match=message) as caught:
        cifar.load(batch_size=8).prepare(tmp_path, lambda line: None)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'cnn_jax_cifar10').exists()


def test_cut_short(tmp_path):
    make_cifar(tmp_path)
    path = tmp_path / 'cifar-10-binary.tar.gz'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match='unreadable archive'):
        cifar.load(batch_size=8).prepare(tmp_path, lambda line: None)
