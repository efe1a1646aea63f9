"""Which images of a split are bad: said once each, and too many are an error."""

import contextlib
import logging
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.errors import DataError

NAMED = 10  # bad images that an error lists
LISTED_IN = 'bad_images.txt'  # of a set's folder: those that were bad when they were stored

log = logging.getLogger(__name__)


class BadImages:
    """Which rows of a split are bad: each is said once, and too many are an error.

    Args:
        where: the split, for messages.
        num_rows: of the split.
        share: the largest share of bad ones.
    """

    def __init__(self, where: str, num_rows: int, share: float):
        self._where, self._num_rows, self._share = where, num_rows, share
        self._lock = threading.Lock()
        self.found: dict[int, str] = {}

    def add(self, row: int, reason: str, *, instead: str) -> None:
        """Counts a row, and logs it if it is new, with what is taken instead.

        Raises:
            DataError: too many, with the list.
        """
        with self._lock:
            if row in self.found:
                return
            self.found[row] = reason
            count, most = len(self.found), most_bad(self._num_rows, self._share)
            log.warning(
                '%d bad image%s of %s in %s, more than %d stop the run: %s; %s', count, 's' * (count > 1),
                f'{self._num_rows:,}', self._where, most, reason, instead,
            )  # fmt: skip
            check_share(list(self.found.values()), self._num_rows, self._share, self._where)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_lock': None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def most_bad(num_rows: int, share: float) -> int:
    """How many images of a split may be bad: a share, and one where that is less."""
    return max(int(share * num_rows), 1 if share else 0)


def check_share(bad: Sequence[str], num_rows: int, share: float, where: str) -> None:
    """Raises DataError where more than a share of the images is bad, with the first of them."""
    if len(bad) > most_bad(num_rows, share):
        more = f' and {len(bad) - NAMED:,} more' if len(bad) > NAMED else ''
        raise DataError(
            f'{len(bad):,} bad image{"s" * (len(bad) > 1)} in {where}, more than {share:.3%} of {num_rows:,} '
            f'(max_bad_images): {"; ".join(bad[:NAMED])}{more}; put good copies there, or take them out, and prepare '
            'the set again'
        )


def bad_in(folder: Path, split: str) -> list[str]:
    """The bad images of a stored split, each with its name and what is wrong: 'cat/1.jpg: not an image ...'."""
    with contextlib.suppress(OSError):  # a set from before has no list
        lines = (folder / LISTED_IN).read_text(encoding='utf-8', errors='surrogateescape').splitlines()
        return [line.partition('\t')[2] for line in lines if line.startswith(f'{split}\t')]
    return []


def count_of(bad: Sequence[str], names: Iterable[str]) -> int:
    """How many of the lines of `bad_in` are of images with these names, in which there may be a colon too."""
    known = {*names}
    return sum(any(line[: found.start()] in known for found in re.finditer(': ', line)) for line in bad)
