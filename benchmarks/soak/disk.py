"""A small disk for the work folders, which a fault can fill: of bytes, or of inodes. It needs root, on Linux."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

MEGABYTES, INODES = 96, 4000
FILLERS = 'fillers'


@contextlib.contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a disk of its own; where that is not allowed, an ordinary one. Gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix='soak_'))
    options = f'size={MEGABYTES}m,nr_inodes={INODES}'
    mounted = (
        shutil.which('mount') is not None
        and not subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)], capture_output=True
        ).returncode
    )
    try:
        yield folder, mounted
    finally:
        if mounted:
            subprocess.run(['umount', '--lazy', str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def fill(disk: Path) -> None:
    """Takes every byte of a disk."""
    with contextlib.suppress(OSError), _filler(disk).open('wb') as file:
        while True:
            file.write(bytes(2**16))
            file.flush()


def fill_inodes(disk: Path) -> None:
    """Takes every inode of a disk."""
    with contextlib.suppress(OSError):
        while True:
            os.close(os.open(_filler(disk), os.O_CREAT | os.O_WRONLY))


def make_room(disk: Path) -> None:
    """Takes away what filled it."""
    shutil.rmtree(disk / FILLERS, ignore_errors=True)


def _filler(disk: Path) -> Path:
    (disk / FILLERS).mkdir(exist_ok=True)
    return disk / FILLERS / uuid.uuid4().hex
