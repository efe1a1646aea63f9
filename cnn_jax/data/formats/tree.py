"""Image files on disk, one by one: in folders of classes, or inside tar files, which are read without extracting."""

import collections
import hashlib
import logging
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cnn_jax.data.formats.image_header import SUFFIXES, check_bytes
from cnn_jax.errors import DataError, check_shortage

BLOCK = 2**24  # bytes that are read at a time

log = logging.getLogger(__name__)


class Item(NamedTuple):
    """The bytes of one image: `size` bytes of `path` from `offset` on.

    `mark` changes where the bytes do: a hash of them, or their size and time. `labels`: all classes of an image, in a
    set whose images may have several; `label` is then the first.
    """

    name: str
    label: int
    path: Path
    offset: int
    size: int
    mark: str = ''
    labels: tuple[int, ...] = ()

    @property
    def classes(self) -> tuple[int, ...]:
        """All classes of the image, one in most sets."""
        return self.labels or (self.label,)

    def read(self) -> bytes:
        """The bytes. Raises DataError where the file cannot be read, BadImage where it is too large for an image."""
        check_bytes(self.size)
        return b''.join(self._blocks())

    def digest(self) -> str:
        """The SHA-256 of the bytes, of which few are in memory at a time; DataError where the file cannot be read."""
        found = hashlib.sha256()
        for block in self._blocks():
            found.update(block)
        return found.hexdigest()

    def _blocks(self) -> Iterator[bytes]:
        try:
            with self.path.open('rb') as file:
                file.seek(self.offset)
                for start in range(0, self.size, BLOCK):
                    yield file.read(min(BLOCK, self.size - start))
        except OSError as error:
            check_shortage(error)
            raise DataError(f'cannot read {self.path}: {error.strerror}; mend its rights, or take it out') from error


class Listed(NamedTuple):
    """The images of a folder, and how many files of which suffix are none."""

    items: list[Item]
    left_out: collections.Counter[str]


def class_folders(root: Path) -> list[str]:
    """The names of the folders in a folder, sorted; hidden ones left out.

    Raises:
        DataError: the folder cannot be read, or a name is not UTF-8.
    """
    try:
        names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith('.'))
    except OSError as error:
        check_shortage(error)
        raise DataError(f'cannot read the folder {root}: {error.strerror}; give a folder of class folders') from error
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(name)
            raise DataError(f'the name of the folder {shown!r} in {root} is not UTF-8; rename it') from None
    return names


def has_images(folder: Path) -> bool:
    """Whether there is an image in a folder or the folders in it; the first one that is found ends the search."""
    return any(path.suffix.lower() in SUFFIXES for path in _files(folder))


def list_images(folder: Path, label: int, *, prefix: str = '') -> Listed:
    """The images in a folder and the folders in it, sorted by name; `prefix` goes before their names.

    Hidden files are passed over. Links are followed.

    Raises:
        DataError: a folder cannot be read.
    """
    items, left_out = [], collections.Counter[str]()
    for path in sorted(_files(folder)):
        if path.suffix.lower() not in SUFFIXES:
            left_out[path.suffix.lower() or path.name] += 1
            continue
        try:
            found = path.stat()
        except OSError as error:
            check_shortage(error)
            raise DataError(f'cannot read {path}: {error.strerror}; mend it, or take it out') from error
        mark = f'{found.st_size}-{found.st_mtime_ns}'
        items.append(Item(f'{prefix}{path.relative_to(folder).as_posix()}', label, path, 0, found.st_size, mark))
    return Listed(items, left_out)


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden, each real folder once."""

    def refuse(error: OSError) -> None:
        raise DataError(f'cannot read the folder {error.filename}: {error.strerror}; mend its rights') from error

    seen = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [name for name in folders if not name.startswith('.')] if real not in seen else []
        if real not in seen:
            yield from (Path(place, name) for name in names if not name.startswith('.'))
        seen.add(real)


def list_classes(root: Path, classes: Sequence[str]) -> list[Item]:
    """The images of `root/<class>/` and of the folders in it, class after class in the order given.

    Files that are not images are counted, and a warning says so.

    Raises:
        DataError: a class has no folder, or no image in it.
    """
    found, left_out = [], collections.Counter[str]()
    for label, name in enumerate(classes):
        folder = root / name
        listed = list_images(folder, label, prefix=f'{name}/') if folder.is_dir() else Listed([], left_out)
        if not listed.items:
            what = 'has no image' if folder.is_dir() else 'is missing'
            raise DataError(f'the class folder {folder} {what}; put its images ({", ".join(SUFFIXES)}) there')
        found += listed.items
        left_out += listed.left_out
    say_left_out(root, left_out)
    return found


def say_left_out(root: Path, left_out: collections.Counter[str]) -> None:
    """Warns of files that are no images, by suffix."""
    if left_out:
        kinds = ', '.join(f'{count:,} {suffix}' for suffix, count in left_out.most_common(5))
        more = ', ...' if len(left_out) > 5 else ''
        log.warning('%s: files left out, which are not images: %s (%s%s)', root, f'{left_out.total():,}', kinds, more)


def list_tar(path: Path, label: int = 0, *, prefix: str = '') -> list[Item]:
    """The images of an uncompressed tar file, sorted by name.

    Raises:
        DataError: not a tar file, or cut short.
    """
    return _members(path, 0, path.stat().st_size, label, prefix, SUFFIXES)


def list_tar_of_tars(path: Path, classes: Sequence[str]) -> list[Item]:
    """The images of a tar file of tar files, one for each class: `<class>.tar`, as ILSVRC2012_img_train.tar is.

    Raises:
        DataError: not a tar file, cut short, or a class is missing.
    """
    inner = {PurePosixPath(item.name).stem: item for item in _members(path, 0, path.stat().st_size, 0, '', ('.tar',))}
    if missing := [name for name in classes if name not in inner]:
        raise DataError(f'{path} has no {missing[0]}.tar ({len(missing)} classes are missing); put a good copy there')
    return [
        item
        for label, name in enumerate(classes)
        for item in _members(path, inner[name].offset, inner[name].size, label, f'{name}/', SUFFIXES)
    ]


def _members(path: Path, offset: int, size: int, label: int, prefix: str, suffixes: tuple[str, ...]) -> list[Item]:
    """The files with one of `suffixes` of the tar file that is at `offset` of `path`."""
    found = []
    try:
        with path.open('rb') as file:
            file.seek(offset)
            with tarfile.TarFile(fileobj=file) as archive:  # it counts offsets from the start of the file
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if not member.isfile() or not name.lower().endswith(suffixes):
                        continue
                    if member.offset_data + member.size > offset + size:
                        raise tarfile.ReadError(f'{member.name} goes beyond its end')
                    found.append(Item(prefix + name, label, path, member.offset_data, member.size))
    except (tarfile.TarError, OSError) as error:
        check_shortage(error)
        raise DataError(f'unreadable tar file: {path}; {error}; put a good copy there') from error
    return sorted(found)
