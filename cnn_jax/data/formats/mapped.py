"""Rows that are made once and kept, too many for memory: images in a file that is read where it is asked for.

Beside it lies an `.npz` file of their fields, the number of each row for the seal, and the digest of each image.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from cnn_jax.data.formats.kept import Rows, writing
from cnn_jax.data.formats.seal import MODULUS, number_of_array, of_numbers
from cnn_jax.errors import DataError, check_shortage
from cnn_jax.files.whole import written_beside

LOOKED_AT = 32  # rows that are compared with their numbers at each opening, spread over all
SIDES, NUMBERS, DIGESTS, SEAL = 'image_shape', 'row_numbers', 'image_digests', 'seal'  # arrays beside the fields
NUMBER_BYTES = (MODULUS - 1).bit_length() // 8

log = logging.getLogger(__name__)


def keep_mapped(file: Path, make: Callable[[], Iterable[Mapping[str, Any]]], *, whole: bool = False) -> Rows:
    """The rows in `file` and its images beside it, made by `make()` and written there first where they are not yet.

    Several processes may ask at once: one writes. A row is in memory only while it is written.

    Args:
        file: an `.npz` file.
        make: the rows, 'image' uint8 of one shape among the values of each.
        whole: every row is compared with its number, not some alone.

    Raises:
        DataError: a file is damaged, or cannot be written; or what `make` raises.
    """
    writing(file, lambda: _write(file, make()))
    return _read(file, whole=whole)


def _images(file: Path) -> Path:
    return file.with_name(f'{file.stem}.images')


def _write(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    fields: dict[str, list[Any]] = {}
    numbers, digests, shape = [], [], (0, 0, 0)
    with written_beside(_images(file)) as beside, beside.open('wb') as opened:
        for row in rows:
            image = np.ascontiguousarray(row['image'])
            shape = image.shape
            others = {name: value for name, value in row.items() if name != 'image'}
            numbers.append(number_of_array(image, others))
            digests.append(hashlib.sha256(image.tobytes()).digest())
            for name, value in others.items():
                fields.setdefault(name, []).append(value)
            opened.write(image.tobytes())
        _flush(opened)
    known = {
        SIDES: np.array(shape),
        NUMBERS: _as_bytes([number.to_bytes(NUMBER_BYTES) for number in numbers]),
        DIGESTS: _as_bytes(digests),
        SEAL: np.array(of_numbers(len(numbers), numbers).digest),
    }
    with written_beside(file) as beside, beside.open('wb') as opened:
        np.savez(opened, allow_pickle=False, **{name: np.stack(values) for name, values in fields.items()}, **known)
        _flush(opened)


def _flush(opened: IO[bytes]) -> None:
    opened.flush()
    os.fsync(opened.fileno())


def _as_bytes(values: list[bytes]) -> np.ndarray:
    return np.frombuffer(b''.join(values), np.uint8).reshape(len(values), -1)


def _read(file: Path, *, whole: bool) -> Rows:
    images = _images(file)
    again = f'delete {file} and {images.name}, they are made again at the next start'
    try:
        with file.open('rb') as opened, np.load(opened, allow_pickle=False) as found:  # else a damaged one stays open
            fields = {name: found[name] for name in found.files}
        shape = tuple(fields.pop(SIDES).tolist())
        numbers = [int.from_bytes(number.tobytes()) for number in fields.pop(NUMBERS)]
        digests = [digest.tobytes() for digest in fields.pop(DIGESTS)]
        sealed = str(fields.pop(SEAL))
        size = images.stat().st_size
        pixels = np.memmap(images, np.uint8, 'r', shape=(len(numbers), *shape))
    except Exception as error:  # of zip files that are damaged, and of arrays of another form
        check_shortage(error)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f'{file} cannot be read: {reason}; {again}') from error
    rows = Rows({'image': pixels, **fields}, of_numbers(len(numbers), numbers), digests=digests)
    if size != pixels.nbytes or rows.seal.digest != sealed or any(len(one) != len(numbers) for one in fields.values()):
        raise DataError(f'{file} was changed, or {images.name} was; {again}')
    looked_at = range(len(rows)) if whole else np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int)).tolist()
    for row in looked_at:
        found = rows[row]
        if number_of_array(found.pop('image'), found) != numbers[row]:
            raise DataError(f'{file} was changed, or {images.name} was, in row {row}; {again}')
    return rows
