"""Stored activations of another implementation: an .npz file with `images` and an array for each layer's name."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from cnn_jax.errors import CnnJaxError, StorageError, check_shortage

MOST_RATIO = 100  # of compression; activations have less, a zip bomb more
FREE_BYTES = 2**20  # below this the ratio does not matter


def read_reference(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, none of them pickled.

    Raises:
        CnnJaxError: there is no such file.
        StorageError: it is damaged, or an entry is compressed beyond reason.
    """
    path = Path(path).expanduser()
    if path.suffix != '.npz' or not path.is_file():
        raise CnnJaxError(f'--reference: no such .npz file: {path}; numpy.savez(FILE, images=..., conv1=...) makes one')
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.removesuffix('.npy'): _member(archive, info) for info in archive.infolist()}
    except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, OSError, OverflowError) as error:
        check_shortage(error)
        raise StorageError(f'{path}: not a whole .npz file of numbers: {str(error)[:200]}') from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.file_size > max(FREE_BYTES, MOST_RATIO * info.compress_size):
        raise ValueError(f'{info.filename[:100]} is compressed over {MOST_RATIO} times; use numpy.savez')
    with archive.open(info) as file:
        data = file.read(info.file_size)
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f'{info.filename[:100]} holds objects, or other bytes than shape {str(shape)[:100]} needs')
    numbers = np.frombuffer(data, dtype, offset=stream.tell())
    return numbers.reshape(shape, order='F' if by_columns else 'C')
