"""What the rows of a split are, in a few digits: whether a run looks at the images that another one was trained on."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import check_shortage

MODULUS = 2**128
RUN = 256  # rows that are read at once
STANDING = 32  # rows that stand for all where these are generated
LARGEST = 2**29  # bytes of a split that is read whole to seal it


class Seal(NamedTuple):
    """How many rows a split has, and a digest of their images and fields that no order changes.

    `digest` is None where nobody has read all rows: only the count is known then.
    """

    count: int
    digest: str | None

    def differs(self, other: 'Seal') -> bool:
        """Whether the two are known to be of other rows."""
        known = self.digest is not None and other.digest is not None
        return self.count != other.count or (known and self.digest != other.digest)


def row_number(*parts: bytes) -> int:
    """A number of one row, from its bytes and what it says of them."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, 'little'))
        digest.update(part)
    return int.from_bytes(digest.digest()) % MODULUS


def of_numbers(count: int, numbers: Iterable[int]) -> Seal:
    """The seal of rows with these numbers: their sum, so that parts of a split can be sealed apart."""
    return Seal(count, f'{sum(numbers) % MODULUS:032x}')


def number_of_array(image: np.ndarray, fields: Mapping[str, Any]) -> int:
    """The number of a decoded row: its pixels, and its fields in the order of their names."""
    parts = [str(image.shape).encode(), np.ascontiguousarray(image).tobytes()]
    for name in sorted(fields):
        value = np.asarray(fields[name])
        wide = value.astype(np.int64) if value.dtype.kind in 'iub' else value.astype(np.float64)
        parts += [name.encode(), str(wide.shape).encode(), wide.tobytes()]
    return row_number(*parts)


def of_source(source: Any) -> Seal:
    """The seal that a source carries, `source.seal`; else that of its rows, read now if they are not too many."""
    found = getattr(source, 'seal', None)
    if found is not None:
        return found
    count = len(source)
    if not count or count * source[0]['image'].nbytes > LARGEST:
        return Seal(count, None)
    try:
        return of_numbers(count, _numbers(source, count))
    except Exception as error:  # a row that cannot be read: who needs it is told, with its number and the reason
        check_shortage(error)
        return Seal(count, None)


def of_generated(source: Any) -> Seal:
    """The seal of rows that are a pure function of their number: the first ones stand for all."""
    return of_numbers(len(source), _numbers(source, min(len(source), STANDING)))


def _numbers(source: Any, count: int) -> Iterator[int]:
    many = getattr(source, '__getitems__', None)  # faster, where a source has it
    for start in range(0, count, RUN):
        rows = range(start, min(start + RUN, count))
        yield from map(_number, many(rows) if many else [source[row] for row in rows])


def _number(row: Mapping[str, Any]) -> int:
    fields = {name: value for name, value in row.items() if name not in ('readable', 'image')}
    return number_of_array(row['image'], fields)
