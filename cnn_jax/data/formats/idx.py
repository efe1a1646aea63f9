"""The IDX files that MNIST and its relatives come in: a magic number, the sizes, then the bytes, gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from cnn_jax.errors import DataError, check_shortage

UNSIGNED_BYTE = 0x08


def find(folder: Path, name: str) -> Path | None:
    """The file of a name such as 'train-images-idx3-ubyte' in a folder, also with '.idx3' or '.gz', or None."""
    for spelling in (name, name.replace('-idx', '.idx')):
        for suffix in ('', '.gz'):
            if (path := folder / (spelling + suffix)).is_file():
                return path
    return None


def read(path: Path, num_dimensions: int) -> np.ndarray:
    """The uint8 array of an IDX file.

    Raises:
        DataError: unreadable, another kind of file, another number of dimensions, cut short or too long.
    """
    content = _content(path)
    header = 4 + 4 * num_dimensions
    expected = bytes([0, 0, UNSIGNED_BYTE, num_dimensions])
    if content[:4] != expected:
        raise _unusable(
            path, f'it starts with {content[:4].hex() or "nothing"}, an IDX file of this name with {expected.hex()}'
        )
    if len(content) < header:
        raise _unusable(path, f'it ends after {len(content)} bytes, within its header')
    shape = struct.unpack(f'>{num_dimensions}I', content[4:header])
    wanted = header + math.prod(shape)
    if len(content) != wanted:
        kind = 'cut short' if len(content) < wanted else 'too long'
        raise _unusable(path, f'{kind}: it has {len(content):,} bytes, its header says {wanted:,}')
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == '.gz' else raw
    except (EOFError, zlib.error) as error:
        raise _unusable(path, f'its compressed data are cut short or damaged ({error})') from error
    except OSError as error:  # gzip.BadGzipFile is one
        check_shortage(error)
        raise _unusable(path, error.strerror or str(error)) from error


def _unusable(path: Path, reason: str) -> DataError:
    return DataError(f'unusable file: {path}; {reason}; put a good copy there')
