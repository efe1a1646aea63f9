"""Safetensors files: headers that lie are found before anything is allocated."""

import json
import struct
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.errors import StorageError
from cnn_jax.weights.safetensors_file import read_safetensors, write_safetensors

ARRAYS = {
    'float64': np.linspace(0, 1, 6).reshape(2, 3).T,  # not contiguous
    'float32': np.arange(4, dtype=np.float32)[::-1],
    'float16': np.array([0.5], np.float16),
    'bfloat16': np.array([1, 2.5], jnp.bfloat16),
    'int64': np.array(3),
    'uint8': np.array([255], np.uint8),
    'bool': np.array([True, False]),
    'empty': np.zeros((0, 3), np.float32),
}


def write(path, header, data=bytes(16), *, length=None):
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', len(text) if length is None else length) + text + data)
    return path


def entry(shape=(4,), offsets=(0, 16), dtype='F32'):
    return {'dtype': dtype, 'shape': list(shape), 'data_offsets': list(offsets)}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / 'a.safetensors'
    write_safetensors(path, ARRAYS, {'made by': 'a test'})
    arrays, metadata = read_safetensors(path)
    assert metadata == {'made by': 'a test'}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert [file.name for file in tmp_path.iterdir()] == ['a.safetensors']


def test_the_header_written_by_hand_is_read(tmp_path):
    arrays, _ = read_safetensors(write(tmp_path / 'a.safetensors', {'w': entry()}))
    np.testing.assert_array_equal(arrays['w'], np.zeros(4))


LYING = {
    '10^12 elements': {'w': entry((10**6, 10**6))},
    '10^12 elements, offsets to match': {'w': entry((10**6, 10**6), (0, 4 * 10**12))},
    'elements that overflow': {'w': entry((2**32, 2**32, 4), (0, 16))},
    'overlap': {'w': entry(), 'v': entry()},
    'overlap in part': {'w': entry((3,), (0, 12)), 'v': entry((2,), (8, 16))},
    'gap': {'w': entry((3,), (4, 16))},
    'data that no array has': {'w': entry((3,), (0, 12))},
    'beyond the end': {'w': entry((5,), (0, 20))},
    'negative': {'w': entry((4,), (-16, 0))},
    'backwards': {'w': entry((4,), (16, 0))},
    'a shape of texts': {'w': entry(('4',))},
    'a shape of fractions': {'w': entry((4.0,))},
    'a shape of truths': {'w': entry((True,), (0, 4)), 'v': entry((3,), (4, 16))},
    'many dimensions': {'w': entry((1,) * 9 + (4,))},
    'an unknown type': {'w': entry(dtype='F4')},
    'no shape': {'w': {'dtype': 'F32', 'data_offsets': [0, 16]}},
    'no entry': {'w': None},
    'metadata that are no texts': {'w': entry(), '__metadata__': {'a': 1}},
    'a list': [],
    'duplicates': b'{"w": %s, "w": %s}' % ((json.dumps(entry()).encode(),) * 2),
    'deep': b'[' * 200_000,
    'not JSON': b'{"w": ',
    'not a text': b'\xff\xfe\x00',
    'empty': b'',
}


@pytest.mark.parametrize('what', LYING)
def test_lying_headers_are_refused_before_anything_is_allocated(tmp_path, what):
    """F20: headers that promise what is not there."""
    path = write(tmp_path / 'a.safetensors', LYING[what])
    tracemalloc.start()
    with pytest.raises(StorageError, match=r'a damaged safetensors header'):
        read_safetensors(path)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


@pytest.mark.parametrize('length', [10 * 2**30, 2**63, 2**64 - 1, 10**4])
def test_lying_header_lengths(tmp_path, length):
    with pytest.raises(StorageError, match=f'a header of {length} bytes'):
        read_safetensors(write(tmp_path / 'a.safetensors', {'w': entry()}, length=length))


def test_files_that_cannot_be_read_or_written(tmp_path):
    for content in (b'', b'1234567'):
        (tmp_path / 'a.safetensors').write_bytes(content)
        with pytest.raises(StorageError, match='not a safetensors file'):
            read_safetensors(tmp_path / 'a.safetensors')
    with pytest.raises(StorageError, match='cannot be read'):
        read_safetensors(tmp_path / 'absent.safetensors')
    with pytest.raises(StorageError, match='cannot be written'):
        write_safetensors(tmp_path / 'absent' / 'a.safetensors', ARRAYS, {})
