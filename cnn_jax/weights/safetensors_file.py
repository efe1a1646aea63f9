"""Safetensors files: the header is checked here before the library maps the file."""

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from cnn_jax.errors import StorageError, check_shortage
from cnn_jax.files.whole import written_beside

MOST_HEADER_BYTES = 2 * 2**20  # a ResNet-152 has 0.1 MB; Python makes 30 times as much of it

DTYPES: dict[str, np.dtype] = {
    'F64': np.dtype(np.float64),
    'F32': np.dtype(np.float32),
    'F16': np.dtype(np.float16),
    'BF16': np.dtype(jnp.bfloat16),
    'I64': np.dtype(np.int64),
    'I32': np.dtype(np.int32),
    'I16': np.dtype(np.int16),
    'I8': np.dtype(np.int8),
    'U8': np.dtype(np.uint8),
    'BOOL': np.dtype(bool),
}


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file by name, and the texts of its header.

    Raises:
        StorageError: unreadable or damaged, or a header that promises what the file does not hold.
    """
    header = read_header(path)
    metadata = header.pop('__metadata__', {})
    try:
        with safetensors.safe_open(path, framework='numpy') as file:
            return {name: file.get_tensor(name) for name in header}, metadata
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        check_shortage(error)
        raise StorageError(f'{path}: not a whole safetensors file: {str(error)[:200]}') from error


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as a safetensors file does, whatever it is called; False where it cannot be read."""
    try:
        with path.open('rb') as file:
            start = file.read(9)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return False
    return (
        len(start) == 9 and start[8:] == b'{' and struct.unpack('<Q', start[:8])[0] <= min(size - 8, MOST_HEADER_BYTES)
    )


def read_header(path: Path) -> dict[str, Any]:
    """The checked header: for each array its `dtype`, `shape`, `data_offsets`; texts below `__metadata__`.

    Raises:
        StorageError: unreadable or damaged.
    """
    try:
        with path.open('rb') as file:
            size = os.fstat(file.fileno()).st_size
            (length,) = struct.unpack('<Q', file.read(8)) if size >= 8 else (size,)
            if length > min(size - 8, MOST_HEADER_BYTES):
                raise StorageError(f'{path}: not a safetensors file: a header of {length} bytes in a file of {size}')
            text = file.read(length)
    except OSError as error:
        raise StorageError(f'{path}: cannot be read: {error.strerror or error}') from error
    try:
        header = json.loads(text, object_pairs_hook=_without_duplicates)
        _check(header, size - 8 - length)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise StorageError(f'{path}: a damaged safetensors header: {str(error)[:200]}') from error
    return header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError('a name stands there twice')
    return found


def _check(header: dict[str, Any], data_size: int) -> None:
    """Every array has the bytes that its shape needs, and the arrays fill the data without gap or overlap."""
    metadata = header.get('__metadata__', {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError('its metadata are not texts')
    ranges = []
    for name, entry in header.items():
        if name == '__metadata__':
            continue
        (begin, end), shape = entry['data_offsets'], entry['shape']
        if entry['dtype'] not in DTYPES:
            raise ValueError(f'{name[:100]} has the unknown type {str(entry["dtype"])[:20]}')
        numbers = [begin, end, *shape]
        if len(shape) > 8 or any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f'{name[:100]} has impossible numbers')
        if end - begin != math.prod(shape) * DTYPES[entry['dtype']].itemsize:
            raise ValueError(f'{name[:100]} has shape {shape} in {end - begin} bytes')
        ranges.append((begin, end))
    position = 0
    for begin, end in sorted(ranges):
        if begin != position:
            raise ValueError('arrays overlap, or leave a gap')
        position = end
    if position != data_size:
        raise ValueError(f'{position} bytes of arrays are promised, {data_size} are there')


def write_safetensors(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes a file; no half file is ever at `path`.

    Raises:
        StorageError: the folder is missing, unwritable or full.
    """
    contiguous = {name: np.asarray(value, order='C') for name, value in arrays.items()}
    try:
        with written_beside(path) as temporary:
            safetensors.numpy.save_file(contiguous, temporary, metadata)
            read_header(temporary)  # no file that is not read again, with many long names for instance
    except (safetensors.SafetensorError, OSError) as error:
        raise StorageError(f'{path}: cannot be written: {str(error)[:200]}; give another place') from error
