"""Sets of pictures with annotations in files of their own: read once, checked, and kept at the size of the net.

What a set is made of decides the name of the file that is kept: another picture, annotation or size makes another one.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.kept import Rows, keep_all
from cnn_jax.errors import DataError, check_shortage

NAMED = 10  # bad ones that an error lists

log = logging.getLogger(__name__)


class Picture(NamedTuple):
    """A picture and the files that say what is on it."""

    name: str
    files: tuple[Path, ...]

    def marks(self) -> str:
        """Changes where one of the files does; DataError where one is missing."""
        return ' '.join(_mark(file) for file in self.files)


def _mark(file: Path) -> str:
    try:
        found = file.stat()
    except OSError as error:
        check_shortage(error)
        raise DataError(f'cannot read {file}: {error.strerror}; put it there, or take its name off the list') from error
    return f'{found.st_size}-{found.st_mtime_ns}'


def open_kept(
    folder: Path,
    split: str,
    pictures: Sequence[Picture],
    read: Callable[[Picture], dict[str, Any]],
    *,
    form: str,
    max_bad: float,
) -> Rows:
    """The rows of a split, made of its pictures and kept in `folder` first where they are not yet.

    A picture that is bad, or whose annotation is, is left out and named in a warning.

    Args:
        read: a picture's row; raises BadImage with the reason.
        form: all else that the rows depend on, for the name of the file.
        max_bad: the largest share of bad ones.

    Raises:
        DataError: a file is missing, or too many are bad: the first are listed.
    """
    digest = hashlib.sha256('\n'.join(f'{one.name} {one.marks()}' for one in pictures).encode()).hexdigest()

    def make() -> list[dict[str, Any]]:
        rows, bad = [], []
        for one in pictures:
            try:
                rows.append(read(one))
            except BadImage as error:
                bad.append(f'{one.name}: {error}')
        _check(bad, len(pictures), max_bad, folder, split)
        return rows

    return keep_all(folder / f'{split}_{form}_{digest[:16]}.npz', make)


def _check(bad: Sequence[str], count: int, most: float, folder: Path, split: str) -> None:
    listed = '; '.join(bad[:NAMED]) + (f' and {len(bad) - NAMED:,} more' if len(bad) > NAMED else '')
    if len(bad) > most * count or len(bad) == count:
        raise DataError(
            f'{len(bad):,} of {count:,} pictures of {folder.name} {split} are bad, more than {most:.1%}: {listed}; put '
            'good copies there, or take their names off the list'
        )
    if bad:
        log.warning('%s %s: %d of %d pictures are left out: %s', folder.name, split, len(bad), count, listed)


def read_bytes(file: Path) -> bytes:
    """The bytes of a picture; BadImage where the file cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        check_shortage(error)
        raise BadImage(f'cannot be read: {error.strerror}') from error


def box_around(mask: np.ndarray) -> np.ndarray:
    """The box (left, top, right, bottom) around the true pixels of a mask (height, width); BadImage where none is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise BadImage('nothing is marked on it')
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
