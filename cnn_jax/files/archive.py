"""Zip files that a stranger may have made: opened in bounded memory, and `.npz` files of such.

A zip file says its own sizes. What it says is bounded before anything is read, and what is read is bounded by it.
"""

import contextlib
import errno
import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MOST_DIRECTORY_BYTES = 4 * 2**20  # of the list of entries, of which Python makes 20 times as much
MOST_RATIO = 100  # of compression; pictures and activations have less, a zip bomb more
FREE_BYTES = 16 * 2**20  # below this the ratio does not matter
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(ValueError, OverflowError, LookupError, RuntimeError),  # of zipfile
    *(SyntaxError, tokenize.TokenError),  # of numpy, whose headers are Python's literals
)


class BadArchive(ValueError):
    """A zip file that is damaged, or larger inside than a file of its size is."""


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What goes wrong in the block because of a file's bytes is a `BadArchive`."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a place before the start of the file
            raise
        raise BadArchive('it points to places that are not there') from error
    except BadArchive:
        raise
    except DAMAGED as error:
        raise BadArchive(' '.join(str(error).split())[:200] or type(error).__name__) from error


@contextlib.contextmanager
def opened(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """A zip file, whose list of entries is read; `read` gives what is in them.

    Raises:
        BadArchive: it is damaged, or its list of entries is too long.
        OSError: it cannot be read.
    """
    with _explained():
        archive = zipfile.ZipFile(_Directory(file))
    archive.fp = file  # what is read from here on is bounded by the entries
    with archive:
        yield archive


def read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The bytes of an entry, so many as it says. Raises: BadArchive, where they are damaged."""
    with _explained():
        return archive.read(info)


class _Directory:
    """A file that is asked for no more than a list of entries takes."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(MOST_DIRECTORY_BYTES + 1 if size < 0 else min(size, MOST_DIRECTORY_BYTES + 1))
        if len(content) > MOST_DIRECTORY_BYTES:
            raise BadArchive(f'its list of entries has over {MOST_DIRECTORY_BYTES:,} bytes')
        return content


def read_npz(path: Path, wanted: Callable[[tuple[str, ...]], Any] = lambda names: names) -> dict[str, np.ndarray]:
    """Arrays of an `.npz` file by name, none of them of Python objects.

    Args:
        path: of the file.
        wanted: which of the names that are there to read; None of them is read where it raises.

    Raises:
        BadArchive: it is damaged, or an entry or all together are compressed beyond reason.
        OSError: it cannot be read.
    """
    with path.open('rb') as file, opened(file) as archive:
        infos = {info.filename.removesuffix('.npy'): info for info in archive.infolist()}
        file.seek(0, io.SEEK_END)
        allowed = max(FREE_BYTES, MOST_RATIO * file.tell())
        if (total := sum(info.file_size for info in archive.infolist())) > allowed:
            raise BadArchive(f'{total:,} bytes are compressed over {MOST_RATIO} times; use numpy.savez')
        names = wanted(tuple(infos))
        with _explained():
            return {name: _array(archive, infos[name]) for name in names}


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        data = file.read(info.file_size)
    name, stream = ascii(info.filename)[1:101], io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise BadArchive(f'{name} holds objects, or other bytes than its shape needs')
    numbers = np.frombuffer(data, dtype, offset=stream.tell(), count=math.prod(shape))
    return numbers.reshape(shape, order='F' if by_columns else 'C')
