"""Files that are whole or absent: written beside their place, then moved there in one step."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file whose folder exists. Text is written as UTF-8.

    Raises:
        OSError: it cannot be written. What was at `path` before is still there.
    """
    with written_beside(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def not_through_links(path: str | os.PathLike[str], flags: int) -> int:
    """An `opener` of `open` for a folder that anyone may have made: OSError for a link, which may lead elsewhere."""
    return os.open(path, flags | getattr(os, 'O_NOFOLLOW', 0), 0o666)  # which Windows has not


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """The place where the block writes the file. The file moves to `path` when the block ends.

    If the block raises, `path` is as it was, and nothing is left beside it. The temporary name is never used twice:
    several processes may write the same file, on several machines too.
    """
    temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp')
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the error of the block says more
            temporary.unlink(missing_ok=True)
