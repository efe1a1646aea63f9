"""The digests of the files that a user supplies: checked once, and remembered beside them."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from cnn_jax.errors import DataError

SAY_EVERY_SECONDS = 10.0


def check_file(path: Path, md5: str, say: Callable[[str], None], *, size: int | None = None) -> None:
    """Compares the size and the MD5 of a file with the published ones.

    What was found is kept in `<file>.checked` beside it, with size and time, so that it is read once only.

    Raises:
        DataError: another size, another digest, or unreadable.
    """
    stat = path.stat()
    if size is not None and stat.st_size != size:
        kind = 'it is not complete' if stat.st_size < size else 'it is another file'
        raise DataError(
            f'{path} has {stat.st_size:,} bytes, the published file {size:,}: {kind}; put a good copy there'
        )
    note = path.with_name(f'{path.name}.checked')
    found = {'size': stat.st_size, 'modified': stat.st_mtime_ns}
    try:
        known = json.loads(note.read_text(encoding='utf-8'))
        if {key: known[key] for key in found} == found and known['md5'] == md5:
            say(f'{path.name}: checked before')
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass
    actual = _digest(path, stat.st_size, say)
    if actual != md5:
        raise DataError(f'{path} has the MD5 {actual}, the published file {md5}; put a good copy there')
    say(f'{path.name}: the published file')
    with contextlib.suppress(OSError):  # a folder that only reads: it is checked again next time
        note.write_text(json.dumps({**found, 'md5': md5}), encoding='utf-8')


def _digest(path: Path, size: int, say: Callable[[str], None]) -> str:
    digest, done, last = hashlib.md5(usedforsecurity=False), 0, time.monotonic()
    with path.open('rb') as file:
        while block := file.read(2**24):
            digest.update(block)
            done += len(block)
            if time.monotonic() - last > SAY_EVERY_SECONDS:
                last = time.monotonic()
                say(f'{path.name}: {done / size:.0%} of {size / 1e9:.1f} GB checked')
    return digest.hexdigest()
