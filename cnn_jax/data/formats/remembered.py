"""What a run knows of its data while its experiment is made again: the images need not be there to build a model."""

import contextlib
import contextvars
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Remembered(NamedTuple):
    """The data of a run, as its `config.json` has it.

    `folder` is the current folder of its start: relative paths begin there. `fields`: the names of what its rows carry,
    `image_shape`: (height, width, channels); nothing where the run did not keep them.
    """

    class_names: tuple[str, ...]
    splits: dict[str, int]
    folder: Path | None
    fields: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None


_current: contextvars.ContextVar[Remembered | None] = contextvars.ContextVar('remembered', default=None)


def current() -> Remembered | None:
    """What the run that is loaded knows; None where an experiment is made for the first time."""
    return _current.get()


@contextlib.contextmanager
def remembering(data: Remembered | None) -> Iterator[None]:
    """While the block runs, sources whose classes only their files tell take them from `data`."""
    token = _current.set(data)
    try:
        yield
    finally:
        _current.reset(token)


def path_of(text: str) -> Path:
    """A path as an option gives it: absolute, from the folder in which the run was started."""
    known, path = current(), Path(text).expanduser()
    start = known.folder if known is not None and known.folder is not None else Path.cwd()
    return path if path.is_absolute() else start / path
