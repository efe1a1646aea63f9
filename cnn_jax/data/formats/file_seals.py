"""The files of a set on the disk, sealed when they are written: no file takes another one's place unnoticed.

Opening a split compares sizes and sampled blocks. `--mode=prepare` reads all bytes.
"""

import contextlib
import contextvars
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cnn_jax.errors import DataError
from cnn_jax.files.whole import write_whole

FILE = 'files.json'  # in the set's folder
PATTERN = '*.array_record-*'
BLOCK, BLOCKS = 4096, 8  # bytes of a sample, and how many of a file

log = logging.getLogger(__name__)

_wholly = contextvars.ContextVar('wholly', default=False)


class FileSeal(NamedTuple):
    """What is known of a file: its bytes in number, and digests of sampled blocks and of all."""

    size: int
    sampled: str
    whole: str


@contextlib.contextmanager
def wholly() -> Iterator[None]:
    """While the block runs, splits that are opened are read whole; a set without seals gets them."""
    token = _wholly.set(True)
    try:
        yield
    finally:
        _wholly.reset(token)


def of_file(path: Path) -> FileSeal:
    """The seal of a file, which is read whole."""
    with path.open('rb') as file:
        size, sampled = _sample(file)
        file.seek(0)
        return FileSeal(size, sampled, hashlib.file_digest(file, 'sha256').hexdigest())


def write(folder: Path, seals: Mapping[str, FileSeal]) -> None:
    """Writes beside the files of a set what they are, by name."""
    write_whole(folder / FILE, json.dumps(seals))


def write_all(folder: Path) -> None:
    """Seals all files of a set."""
    write(folder, {path.name: of_file(path) for path in sorted(folder.glob(PATTERN))})


def check(folder: Path, split: str) -> None:
    """Compares the files of a split with their seals.

    Raises:
        DataError: a file is another one than was written.
    """
    seals = _read(folder)
    if seals is None:
        if not _wholly.get():
            log.info('%s does not say what its files were; --mode=prepare writes it down as they are', folder)
            return
        try:
            write_all(folder)
        except OSError as error:
            log.warning('%s cannot be written: %s; what its files are is not known', folder, error.strerror)
            return
        log.info('%s did not say what its files were; it is written down as they are now', folder)
        seals = _read(folder) or {}
    own = {name: seal for name, seal in seals.items() if f'-{split}.array_record-' in name}
    try:
        for path in folder.glob(f'*-{split}.array_record-*'):
            if path.name not in own or not _is(path, own[path.name]):
                raise DataError(
                    f'unreadable data set: {folder}; {path.name} is not the file that was written there but another '
                    "one, a split's or set's perhaps, or damaged; delete that folder and prepare the set again"
                )
    except OSError as error:
        raise DataError(f'cannot read {error.filename}: {error.strerror}; mend its rights') from error
    if _wholly.get():
        log.info('%s: all bytes are as they were written, in %d files', split, len(own))


def _is(path: Path, seal: FileSeal) -> bool:
    if _wholly.get():
        return of_file(path) == seal
    with path.open('rb') as file:
        return _sample(file) == (seal.size, seal.sampled)


def _sample(file: BinaryIO) -> tuple[int, str]:
    """The size of a file, and a digest of blocks from its start to its end."""
    size, digest = file.seek(0, 2), hashlib.sha256()
    for number in range(BLOCKS):
        file.seek(max(0, size - BLOCK) * number // (BLOCKS - 1))
        digest.update(file.read(BLOCK))
    return size, digest.hexdigest()


def _read(folder: Path) -> dict[str, FileSeal] | None:
    """The seals of a set; None where it has none. Raises DataError where they are damaged."""
    path = folder / FILE
    try:
        return {name: FileSeal(*values) for name, values in json.loads(path.read_text(encoding='utf-8')).items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f'cannot read {path}: {error}; delete {folder} and prepare the set again') from error
