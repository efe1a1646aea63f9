"""Rows of a split that are read once: the pages look at the same images again and again."""

from collections.abc import Mapping
from typing import Any

import numpy as np

MOST_BYTES = 256 << 20  # of the rows that are kept


class Once:
    """A source of rows that keeps what it has read, as long as there is room."""

    def __init__(self, source: Any):
        self._source, self._kept, self._nbytes = source, {}, 0

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        if row in self._kept:
            return self._kept[row]
        found = self._source[row]
        self._nbytes += sum(np.asarray(value).nbytes for value in found.values())
        if self._nbytes <= MOST_BYTES:
            self._kept[row] = found
        return found
