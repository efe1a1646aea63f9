"""Parts of a page that fail alone: the rest of the page is made, and the part is named with its reason."""

import errno
import logging
from collections.abc import Callable
from typing import TypeVar

Made = TypeVar('Made')

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)

log = logging.getLogger(__name__)


def part(name: str, make: Callable[[], Made], *, otherwise: Made) -> Made:
    """What `make` gives; where it fails `otherwise`, and a warning with the reason.

    Raises:
        OSError: the disk is full or broken, which the other parts meet too.
    """
    try:
        return make()
    except Exception as error:  # of strangers' numbers and names, in whatever draws them
        if isinstance(error, OSError) and error.errno in DISK:
            raise
        reason = ' '.join(str(error).split())[:200]
        log.warning('the page is without %s: %s', name, f'{type(error).__name__}: {reason}'.removesuffix(': '))
        return otherwise
