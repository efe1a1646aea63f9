"""Rows that are made once and kept: the arrays of a split in one `.npz` file, whole or absent, with their seal."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.formats.seal import Seal, number_of_array, of_numbers
from cnn_jax.errors import DataError, check_shortage
from cnn_jax.files import lock as file_lock
from cnn_jax.files.whole import written_beside

SEAL = 'seal'  # the name of that array


@dataclass(frozen=True)
class Rows:
    """Rows of arrays (rows, ...), 'image' among them; `digests`: the SHA-256 of each image, where they are known."""

    arrays: Mapping[str, np.ndarray]
    seal: Seal
    digests: Sequence[bytes] | None = None

    def __len__(self) -> int:
        return len(self.arrays['image'])

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: values[row] for name, values in self.arrays.items()}

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return [self[row] for row in rows]

    def only(self, names: Iterable[str]) -> 'Rows':
        """The images and the fields of those names alone."""
        return replace(self, arrays={name: self.arrays[name] for name in ('image', *names)})


def keep(file: Path, num_rows: int, make: Callable[[int], Mapping[str, Any]]) -> Rows:
    """The rows in `file`, made by `make(row)` and written there first where it is not yet.

    Several processes may ask at once: one writes. What is read is checked against the seal that was written with it.

    Raises:
        DataError: the file is damaged, holds other counts, or cannot be written.
    """
    writing(file, lambda: _write(file, [make(row) for row in range(num_rows)]))
    return _read(file, num_rows)


def writing(file: Path, write: Callable[[], None]) -> None:
    """Has `file` written where it is not yet, by one process alone; DataError where the disk refuses."""
    if file.is_file():
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file_lock.held(file.with_name(f'{file.name}.LOCK')):
            if not file.is_file():
                write()
    except OSError as error:
        raise DataError(
            f'cannot write {file}: {error.strerror}; give a folder that can be written with --data_dir=FOLDER, or '
            'free space there'
        ) from error


def _write(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    with written_beside(file) as beside, beside.open('wb') as opened:
        np.savez(opened, allow_pickle=False, **arrays, **{SEAL: np.array(_seal(arrays).digest)})
        opened.flush()
        os.fsync(opened.fileno())


def _seal(arrays: Mapping[str, np.ndarray]) -> Seal:
    images, others = arrays['image'], {name: values for name, values in arrays.items() if name != 'image'}
    numbers = (
        number_of_array(image, {name: values[row] for name, values in others.items()})
        for row, image in enumerate(images)
    )
    return of_numbers(len(images), numbers)


def _read(file: Path, num_rows: int) -> Rows:
    try:
        with file.open('rb') as opened, np.load(opened, allow_pickle=False) as found:  # else a damaged one stays open
            arrays = {name: found[name] for name in found.files}
        digest = str(arrays.pop(SEAL))
        seal = _seal(arrays)
    except Exception as error:  # of zip files that are damaged, and of arrays of another form
        check_shortage(error)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f'{file} cannot be read: {reason}; delete it, it is made again at the next start') from error
    if seal.digest != digest or seal.count != num_rows:
        what = 'was changed' if seal.count == num_rows else f'has {seal.count:,} rows, {num_rows:,} expected'
        raise DataError(f'{file} {what}; delete it, it is made again at the next start')
    return Rows(arrays, seal)
