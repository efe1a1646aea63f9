"""Sets of pictures with annotations in files of their own: read once, checked, and kept at the size of the net.

What a set is made of decides the name of the file that is kept: another picture, annotation or size makes another one.
"""

import concurrent.futures
import functools
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from cnn_jax.data.formats.fields import Fields
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.kept import Rows
from cnn_jax.data.formats.made import made_once
from cnn_jax.data.formats.mapped import keep_mapped
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import DataError, check_shortage

NAMED = 10  # bad ones that an error lists
RUN = 256  # pictures that are read at once, by a thread for each core

log = logging.getLogger(__name__)


class Framing(Protocol):
    """How a picture becomes one of `size` pixels a side."""

    @property
    def size(self) -> int: ...

    def pixels(self, encoded: bytes, /) -> np.ndarray: ...


class Picture(NamedTuple):
    """A picture, the files that say what is on it, and what has been read of them already."""

    name: str
    files: tuple[Path, ...]
    said: Any = None


def _mark(file: Path) -> str:
    """Changes where the file does; DataError where it is missing."""
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
    read: Callable[[Picture], dict[str, Any] | list[dict[str, Any]]],
    *,
    form: str,
    max_bad: float,
    whole: bool = False,
    at_once: int = RUN,
) -> Rows:
    """The rows of a split, made of its pictures and kept in `folder` first where they are not yet.

    A picture that is bad, or whose annotation is, is left out and named in a warning.

    Args:
        read: a picture's row, or several of one picture; raises BadImage with the reason.
        form: all else that the rows depend on, for the name of the file.
        max_bad: the largest share of bad ones.
        whole: every row of what is kept is checked.
        at_once: pictures whose rows are in memory together.

    Raises:
        DataError: a file is missing, or too many are bad: the first are listed.
    """
    mark = functools.cache(_mark)  # several pictures may share a file
    known = 'images in a file of their own\n' + '\n'.join(
        ' '.join([one.name, *map(mark, one.files)]) for one in pictures
    )
    digest = hashlib.sha256(known.encode(errors='surrogateescape')).hexdigest()

    def make() -> Iterator[dict[str, Any]]:
        bad = []
        log.info('%s %s: %s pictures are read', folder.name, split, f'{len(pictures):,}')
        for found in _in_threads(functools.partial(_tried, read), pictures, at_once):
            if isinstance(found, str):
                bad.append(found)
            else:
                yield from found if isinstance(found, list) else [found]
        _check(bad, len(pictures), max_bad, folder, split)

    return keep_mapped(folder / f'{split}_{form}_{digest[:16]}.npz', make, whole=whole)


def _tried(read: Callable[[Picture], Any], picture: Picture) -> Any:
    """The row of a picture, or its rows, or why there is none, as a text."""
    try:
        return read(picture)
    except BadImage as error:
        return f'{picture.name}: {error}'


def _in_threads(function: Callable[[Picture], Any], pictures: Sequence[Picture], at_once: int) -> Iterator[Any]:
    """What a function makes of each picture, in their order, not many at once in memory."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pictures), at_once):
            yield from pool.map(function, pictures[start : start + at_once])


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


def make_data(
    *,
    name: str,
    folder: str,
    batch_size: int,
    how: Framing,
    class_names: tuple[str, ...],
    fields: Fields,
    published: Mapping[str, int],
    pictures: Callable[[Path, str], Sequence[Picture]],
    read: Callable[[Picture], dict[str, Any]],
    form: str,
    max_bad: float,
    small: Callable[[Path], None] | None = None,
) -> Data:
    """A set whose splits are kept as `open_kept` does.

    Args:
        name: for messages.
        folder: of the set below `data_dir`.
        published: how many pictures its splits have.
        pictures: those of a split, of the set in a folder.
        small: writes a set of the same form into a folder, which is read in place of the published one.
    """

    def open_split(split: str, data_dir: Path, *, whole: bool = False) -> Rows:
        home = data_dir / (f'{folder}_smoke' if small else folder)
        if small:
            made_once(home, small)
        named = f'{form}_{how.size}x{how.size}'
        rows = open_kept(home, split, pictures(home, split), read, form=named, max_bad=max_bad, whole=whole)
        return rows.only(fields)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        for split, expected in published.items():
            count = len(open_split(split, data_dir, whole=True))
            note = '' if count == expected else f', NOT the {expected:,} published ones'
            say(f'{name} {split}: {count:,} pictures below {data_dir}{note}')

    return Data(
        name=name,
        batch_size=batch_size,
        splits=dict(published),
        class_names=class_names,
        image_shape=(how.size, how.size, 3),
        fields=fields,
        open=open_split,
        prepare=prepare,
        decode=how.pixels,
    )
