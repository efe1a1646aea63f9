"""Rows that share images: several questions about one picture, which is kept once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax.data.formats.kept import Rows
from cnn_jax.data.formats.seal import Seal, of_numbers, row_number
from cnn_jax.errors import DataError


@dataclass(frozen=True)
class Shared:
    """Rows of `fields` (rows, ...) about images; `places` (rows,) says which image of `images` each is about."""

    images: Rows
    places: np.ndarray
    fields: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> dict[str, Any]:
        found = {name: values[row] for name, values in self.fields.items()}
        return {'image': self.images.arrays['image'][self.places[row]], **found}

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return [self[row] for row in rows]

    @property
    def seal(self) -> Seal:
        """Of the digests of the images, which their files keep, and the fields."""
        digests: Sequence[bytes] = self.images.digests or ()
        names = sorted(self.fields)
        numbers = (
            row_number(digests[int(place)], *(self.fields[name][row].tobytes() for name in names))
            for row, place in enumerate(self.places)
        )
        return of_numbers(len(self), numbers)


def others(places: np.ndarray, kinds: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """For each row one of the same kind about another image, (rows,): a permutation within each kind, always the same.

    Args:
        places: which image each row is about, those of one image side by side.
        kinds: of each row, a place in `names`.

    Raises:
        DataError: more than half of the rows of a kind are about one image.
    """
    found = np.arange(len(places))
    for kind, name in enumerate(names):
        rows = np.flatnonzero(kinds == kind)
        most = max(np.unique(places[rows], return_counts=True)[1], default=0)  # no step this long ends at the image
        if 2 * most > len(rows):
            raise DataError(
                f'{len(rows)} questions are of kind {name!r}, {most} of them about one picture: none is left to ask '
                'about another one; add pictures'
            )
        found[rows] = np.roll(rows, -int(most))
    return found
