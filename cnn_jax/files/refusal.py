"""Why a disk refuses, in words: full, without inodes, over a quota or a limit."""

import errno
import os
import shutil
from pathlib import Path

FULL = {
    errno.ENOSPC: 'the disk is full',
    errno.EDQUOT: 'the disk is full for this user (a quota)',
    errno.EFBIG: 'the disk is full for a file of this size (a limit: ulimit -f, or that of the file system)',
}
WORDS = {  # as tensorstore says it, without a number
    'No space left': errno.ENOSPC,
    'Disk quota exceeded': errno.EDQUOT,
    'File too large': errno.EFBIG,
    'RESOURCE_EXHAUSTED': errno.ENOSPC,
}


def disk_reason(folder: Path, error: BaseException) -> str | None:
    """What the disk of a folder lacks and what to do; None where the error is about something else.

    The folder need not exist: the nearest one above it counts.
    """
    number = getattr(error, 'errno', None)
    if number not in FULL:
        number = next((number for words, number in WORDS.items() if words in str(error)), None)
    if number is None:
        return None
    folder = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = f'{shutil.disk_usage(folder).free / 2**20:.0f} MiB free'
    if number == errno.ENOSPC and _is_out_of_inodes(folder):
        return f'the disk holds as many files as it can ({free}, but no inodes); remove some files'
    return f'{FULL[number]} ({free}); make room'


def _is_out_of_inodes(folder: Path) -> bool:
    if not hasattr(os, 'statvfs'):  # Windows
        return False
    found = os.statvfs(folder)
    return found.f_files > 0 and found.f_favail == 0  # some file systems count none
