"""Rows that are made when they are read: a pure function of the split and the number of the row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnn_jax.data.formats import seal
from cnn_jax.data.formats.seal import Seal


@dataclass(frozen=True)
class Generated:
    """A split of `num_rows` rows; a subclass says what row i is, in `make`."""

    split: str
    num_rows: int

    def make(self, row: int) -> dict[str, Any]:
        """The row, as `Source` has it; `row` is in range."""
        raise NotImplementedError

    @property
    def seal(self) -> Seal:
        """What the split holds."""
        return seal.of_generated(self)

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, row: int) -> dict[str, Any]:
        if not 0 <= row < self.num_rows:
            raise IndexError(f'row {row} of {self.num_rows}')
        return self.make(row)

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return [self[row] for row in rows]
