"""Parts of a page that fail alone: the rest of the page is made, and the part is named with its reason."""

import logging
from collections.abc import Callable
from typing import TypeVar

Made = TypeVar('Made')

log = logging.getLogger(__name__)


def part(name: str, make: Callable[[], Made], *, otherwise: Made) -> Made:
    """What `make` gives; `otherwise`, and a warning with the reason, where it fails for any but the disk's reasons.

    Raises:
        OSError: the disk is full, for instance, which the other parts meet too.
    """
    try:
        return make()
    except OSError:
        raise
    except Exception as error:  # of strangers' numbers and names, in whatever draws them
        reason = ' '.join(str(error).split())[:200]
        log.warning('the page is without %s: %s', name, f'{type(error).__name__}: {reason}'.removesuffix(': '))
        return otherwise
