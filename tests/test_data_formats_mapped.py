"""Rows in a file of their own: what is written comes back, and what was changed is found."""

import numpy as np
import pytest

from cnn_jax.data.formats import mapped, seal
from cnn_jax.data.formats.mapped import keep_mapped
from cnn_jax.data.held_out import read_marks
from cnn_jax.errors import DataError

COUNT = 100


def rows(count=COUNT):
    rng = np.random.default_rng(0)
    for number in range(count):
        yield {'image': rng.integers(0, 256, (4, 5, 3), np.uint8), 'label': np.int32(number % 7)}


@pytest.fixture
def file(tmp_path):
    keep_mapped(tmp_path / 'set.npz', rows)
    return tmp_path / 'set.npz'


def test_rows_come_back_with_seal_and_digests(file):
    found = keep_mapped(file, lambda: pytest.fail('it is kept'))
    for row, expected in enumerate(rows()):
        np.testing.assert_array_equal(found[row]['image'], expected['image'])
        assert found[row]['label'] == expected['label']

    class Plain(list):
        """The same rows without what is known of them."""

    plain = Plain(rows())
    assert found.seal == seal.of_source(plain)
    assert read_marks(found.only(['label'])) == read_marks(plain)


def test_a_changed_byte_is_found_by_a_whole_reading_and_at_some_rows_by_any(file):
    assert mapped.LOOKED_AT < COUNT / 2  # so that a row lies between those that are looked at
    images = file.with_name('set.images')
    content = bytearray(images.read_bytes())
    content[1 * 60] ^= 1  # of the second row, which is not looked at
    images.write_bytes(content)
    keep_mapped(file, rows)
    with pytest.raises(DataError, match=r'set\.images was, in row 1; delete'):
        keep_mapped(file, rows, whole=True)
    content[0] ^= 1
    images.write_bytes(content)
    with pytest.raises(DataError, match='in row 0; delete'):
        keep_mapped(file, rows)


@pytest.mark.parametrize('harm', ['short', 'long', 'gone', 'fields'])
def test_damage_is_found_at_once(file, harm):
    images = file.with_name('set.images')
    if harm == 'short':
        images.write_bytes(images.read_bytes()[:-1])
    elif harm == 'long':
        images.write_bytes(images.read_bytes() + b'x')
    elif harm == 'gone':
        images.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r'delete .*set\.npz and set\.images'):
        keep_mapped(file, rows)


def test_what_fails_midway_leaves_nothing(tmp_path):
    def broken():
        yield from rows(3)
        raise DataError('the fourth is bad')

    with pytest.raises(DataError, match='the fourth'):
        keep_mapped(tmp_path / 'set.npz', broken)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != '.LOCK'] == []
