"""Sets of pictures with annotations in files of their own: read once, checked, and kept at the size of the net.

What a set is made of decides the name of the file that is kept: another picture, annotation or size makes another one.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.data.formats.fields import Fields
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.kept import Rows, keep_all
from cnn_jax.data.formats.made import made_once
from cnn_jax.data.formats.squeezed import Squeezing
from cnn_jax.data.pipeline import Data
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


def make_data(
    *,
    name: str,
    folder: str,
    batch_size: int,
    how: Squeezing,
    class_names: tuple[str, ...],
    fields: Fields,
    published: Mapping[str, int],
    pictures: Callable[[Path, str], Sequence[Picture]],
    read: Callable[[Picture, Squeezing], dict[str, Any]],
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

    def open_split(split: str, data_dir: Path) -> Rows:
        home = data_dir / (f'{folder}_smoke' if small else folder)
        if small:
            made_once(home, small)
        named = f'{form}_{how.size}x{how.size}'
        rows = open_kept(home, split, pictures(home, split), lambda one: read(one, how), form=named, max_bad=max_bad)
        return rows.only(fields)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        for split, expected in published.items():
            count = len(open_split(split, data_dir))
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
