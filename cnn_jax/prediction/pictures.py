"""Pictures of any number and kind, in their order: which files are meant, and batches of them, read ahead."""

import collections
import concurrent.futures
import glob
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cnn_jax.data.formats.image_header import SUFFIXES, BadImage, read
from cnn_jax.data.formats.view import Seen
from cnn_jax.errors import DataError, check_shortage

AHEAD = 2  # batches that are read before they are asked for


class Found(NamedTuple):
    """The pictures that were meant, and how many other files lay among them."""

    files: list[str]
    left_out: int


class Picture(NamedTuple):
    """A picture that was read: what the net is shown of it, or why there is nothing."""

    file: str
    seen: Seen | None
    error: str = ''


def find(text: str) -> Found:
    """The files of 'cat.png', of a folder with the folders in it, or of a pattern such as 'photos/*.jpg', by name.

    Raises:
        DataError: there are none.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return Found([text], 0)
    if path.is_dir():
        listed = sorted(os.path.join(place, name) for place, _, names in os.walk(path) for name in names)
        listed = [file for file in listed if not os.path.basename(file).startswith('.')]
        files = [file for file in listed if file.lower().endswith(SUFFIXES)]
        what = f'the folder {text} has {len(listed):,} files and no image'
    else:
        listed = sorted(filter(os.path.isfile, glob.iglob(str(path), recursive=True)))
        files, what = listed, f'{text} is no file, no folder, and fits no file as a pattern'
    if not files:
        raise DataError(f"--images: {what}; give a file, a folder, or a pattern in quotes: 'photos/*.jpg'")
    return Found(files, len(listed) - len(files))


def read_picture(file: str, see: Callable[[bytes], Seen]) -> Picture:
    """A file as the net's images are; what cannot be read says why."""
    try:
        return Picture(file, see(read(Path(file))))
    except OSError as error:
        check_shortage(error)
        return Picture(file, None, error.strerror or str(error))
    except (BadImage, ValueError) as error:
        return Picture(file, None, str(error))


def batches(files: Iterable[str], see: Callable[[bytes], Seen], size: int) -> Generator[list[Picture], None, None]:
    """The pictures in their order, `size` at a time, read by a thread for each core; a few batches are in memory."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: collections.deque[list[concurrent.futures.Future[Picture]]] = collections.deque()
        try:
            for run in batched(files, size):
                waiting.append([pool.submit(read_picture, file, see) for file in run])
                if len(waiting) > AHEAD:
                    yield [future.result() for future in waiting.popleft()]
            while waiting:
                yield [future.result() for future in waiting.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)


def batched(files: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """`itertools.batched`, which Python 3.11 lacks."""
    rest = iter(files)
    while run := tuple(itertools.islice(rest, size)):
        yield run
