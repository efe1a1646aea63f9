"""Hashes of the bytes of files, remembered by path, size and time of change: a folder is read whole but once."""

import concurrent.futures
import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.data.formats.tree import Item
from cnn_jax.files import cache
from cnn_jax.files.whole import write_whole

SAY_AFTER_SECONDS = 2.0
SETTLED_SECONDS = 2.0  # a file that changed later than this may change again within the same tick of its clock

log = logging.getLogger(__name__)


def hashed(root: Path, items: Sequence[Item]) -> list[Item]:
    """The items of a folder with the SHA-256 of their bytes as their `mark`.

    Raises:
        DataError: a file cannot be read.
    """
    file = cache.folder('hashes') / f'{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.json'
    known = _read(file)
    new = [item for item in items if known.get(str(item.path), ('', ''))[0] != item.mark]
    found = dict(zip((str(item.path) for item in new), _hash_all(root, new), strict=True))
    marks = {str(item.path): found.get(str(item.path)) or known[str(item.path)][1] for item in items}
    if new:
        settled = (time.time() - SETTLED_SECONDS) * 1e9
        kept = [item for item in items if int(item.mark.partition('-')[2]) < settled]
        _write(file, {str(item.path): (item.mark, marks[str(item.path)]) for item in kept})
    return [item._replace(mark=marks[str(item.path)]) for item in items]


def _hash_all(root: Path, items: Sequence[Item]) -> list[str]:
    begin, found = time.monotonic(), []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for digest in pool.map(Item.digest, items):
            found.append(digest)
            if time.monotonic() - begin > SAY_AFTER_SECONDS:
                begin += 5 * SAY_AFTER_SECONDS
                log.info('%s: %s of %s files read, to know them again', root, f'{len(found):,}', f'{len(items):,}')
    return found


def _read(file: Path) -> dict[str, tuple[str, str]]:
    try:
        return {path: (mark, digest) for path, (mark, digest) in json.loads(file.read_text(encoding='utf-8')).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _write(file: Path, known: dict[str, tuple[str, str]]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(known))
    except OSError as error:
        log.warning('%s cannot be written: %s; the images are read again at each start', file, error.strerror)
