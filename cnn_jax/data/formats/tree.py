"""Image files on disk, one by one: in folders of classes, or inside tar files, which are read without extracting."""

import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cnn_jax.errors import DataError

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp')


class Item(NamedTuple):
    """The bytes of one image: `size` bytes of `path` from `offset` on."""

    name: str
    label: int
    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.path.open('rb') as file:
            file.seek(self.offset)
            return file.read(self.size)


def class_folders(root: Path) -> list[str]:
    """The names of the folders in a folder, sorted; hidden ones left out."""
    try:
        return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith('.'))
    except OSError as error:
        raise DataError(f'cannot read the folder {root}: {error.strerror}; give a folder of class folders') from error


def list_images(folder: Path, label: int, *, prefix: str = '') -> list[Item]:
    """The images directly in a folder, sorted by name; `prefix` goes before their names."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith('.') and path.is_file():
            found.append(Item(prefix + path.name, label, path, 0, path.stat().st_size))
    return found


def list_classes(root: Path, classes: Sequence[str]) -> list[Item]:
    """The images of `root/<class>/`, class after class in the order given.

    Raises:
        DataError: a class has no folder, or no image in it.
    """
    found = []
    for label, name in enumerate(classes):
        folder = root / name
        images = list_images(folder, label, prefix=f'{name}/') if folder.is_dir() else []
        if not images:
            what = 'has no image' if folder.is_dir() else 'is missing'
            raise DataError(f'the class folder {folder} {what}; put its images ({", ".join(SUFFIXES)}) there')
        found += images
    return found


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
        raise DataError(f'unreadable tar file: {path}; {error}; put a good copy there') from error
    return sorted(found)
