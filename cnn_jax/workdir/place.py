"""Where a work folder may be: on a disk of this machine, at a path that every library takes as it is written."""

import re
from pathlib import Path

from cnn_jax.errors import CnnJaxError

REMOTE = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+:$')  # a drive of Windows has one letter
PATTERN = re.compile(r'[\[\]*?]')  # Orbax finds its files with a glob: such a checkpoint has no arrays (measured)


def check_local(path: Path, flag: str) -> None:
    """Refuses the address of a store elsewhere, `gs://...`, which would become a folder of that name here.

    Raises:
        CnnJaxError: it is one.
    """
    if REMOTE.match(path.parts[0] if path.parts else ''):
        scheme, *rest = path.parts
        raise CnnJaxError(
            f'--{flag}: {scheme}//{"/".join(rest)} is not on this machine; give a folder here, or mount the bucket '
            '(gcsfuse, s3fs) and give the folder where it is mounted'
        )


def check_writable_name(path: Path, flag: str = 'workdir') -> None:
    """Refuses a folder in which checkpoints cannot be written for its name, or that of a folder above it.

    Raises:
        CnnJaxError: there is a `[`, `]`, `*` or `?` in it.
    """
    found = PATTERN.search(str(path.absolute()))
    if found:
        raise CnnJaxError(
            f'--{flag}: {path.absolute()} has a {found[0]!r} in it, which Orbax takes for a pattern of names; '
            'give a folder without [ ] * ?'
        )
