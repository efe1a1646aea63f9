"""IDX files: what is read, and what is said of the ones that cannot be."""

import gzip
import struct

import numpy as np
import pytest

from cnn_jax.data.formats import idx
from cnn_jax.errors import DataError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = struct.pack('>4I', 0x0803, 2, 3, 4) + IMAGES.tobytes()


@pytest.mark.parametrize('spelling', ['a-idx3-ubyte', 'a-idx3-ubyte.gz', 'a.idx3-ubyte', 'a.idx3-ubyte.gz'])
def test_finds_and_reads(tmp_path, spelling):
    (tmp_path / spelling).write_bytes(gzip.compress(CONTENT) if spelling.endswith('.gz') else CONTENT)
    path = idx.find(tmp_path, 'a-idx3-ubyte')
    assert path is not None
    assert path.name == spelling
    np.testing.assert_array_equal(idx.read(path, 3), IMAGES)


def test_find_nothing(tmp_path):
    assert idx.find(tmp_path, 'a-idx3-ubyte') is None
    assert idx.find(tmp_path / 'absent', 'a-idx3-ubyte') is None


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'it starts with nothing'),
        (CONTENT[:3], 'it starts with 000008'),
        (b'\x89PNG' + CONTENT, 'it starts with 89504e47, an IDX file of this name with 00000803'),
        (struct.pack('>2I', 0x0801, 9) + bytes(9), 'it starts with 00000801'),  # labels under the name of images
        (struct.pack('>4I', 0x0D03, 2, 3, 4) + bytes(96), 'it starts with 00000d03'),  # floats
        (CONTENT[:10], 'it ends after 10 bytes, within its header'),
        (CONTENT[:-1], 'cut short: it has 39 bytes, its header says 40'),
        (CONTENT + b'\0', 'too long: it has 41 bytes, its header says 40'),
        (struct.pack('>4I', 0x0803, 2**32 - 1, 2**32 - 1, 2**32 - 1), 'cut short'),
    ],
)
@pytest.mark.parametrize('compressed', [False, True])
def test_refuses(tmp_path, content, message, compressed):
    path = tmp_path / ('a-idx3-ubyte' + '.gz' * compressed)
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(DataError, match=message) as caught:
        idx.read(path, 3)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('damage', [lambda packed: packed[:-9], lambda packed: b'not gzip', lambda packed: packed[:12]])
def test_refuses_damaged_gzip(tmp_path, damage):
    path = tmp_path / 'a-idx3-ubyte.gz'
    path.write_bytes(damage(gzip.compress(CONTENT)))
    with pytest.raises(DataError, match=r'unusable file: .*a-idx3-ubyte\.gz'):
        idx.read(path, 3)
