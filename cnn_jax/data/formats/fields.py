"""What a row carries beside its image: fields with declared shapes and types, checked and never cast in silence."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError, DataError

RESERVED = ('image', 'mask', 'index', 'epoch')  # what every batch has; see `pipeline.Batch`
ACCEPTED = {'b': 'b', 'i': 'iu', 'u': 'iu', 'f': 'iuf'}  # kinds of numbers that a field of each kind takes


class Field(NamedTuple):
    """One field of a row.

    Attributes:
        dtype: of its numbers in a batch. A whole number is taken from any whole type, a fraction from whole numbers
            too, a truth value from truth values alone.
        shape: of one row's value, fixed.
        least, most: the smallest and largest value that is allowed; None: any.
        besides: one value beyond them that is allowed too, such as the class of a pixel that does not count.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    least: float | None = None
    most: float | None = None
    besides: float | None = None

    def __str__(self) -> str:
        bounds = [f'at least {self.least:g}'] if self.least is not None else []
        bounds += [f'at most {self.most:g}'] if self.most is not None else []
        besides = f' or {self.besides:g}' if self.besides is not None else ''
        return ' '.join([self.dtype, str(self.shape), *[' and '.join(bounds) + besides][: len(bounds)]])


Fields = Mapping[str, Field]


def of_class(num_classes: int | None = None) -> Fields:
    """The fields of a set for classification: 'label', a class from 0 on, below `num_classes` where that is known."""
    most = None if num_classes is None else num_classes - 1
    return MappingProxyType({'label': Field('int32', least=0, most=most)})


def check_names(fields: Fields) -> None:
    """Raises CnnJaxError for a field whose name every batch has already."""
    for name in fields:
        if name in RESERVED:
            raise CnnJaxError(f'fields: {name!r} is what every batch has ({", ".join(RESERVED)}); name it otherwise')


def stack(fields: Fields, examples: Sequence[Mapping[str, Any]], rows: Sequence[int]) -> dict[str, np.ndarray]:
    """The fields of some examples as arrays (examples, ...), each of its declared type.

    Args:
        rows: the number of each example, for the message.

    Raises:
        DataError: a value that is not there, or of another shape or kind, or out of range: with row and value.
    """
    return {name: _stack(name, field, examples, rows) for name, field in fields.items()}


def _stack(name: str, field: Field, examples: Sequence[Mapping[str, Any]], rows: Sequence[int]) -> np.ndarray:
    try:
        given = [example[name] for example in examples]
        values = np.array(given)
        hidden = values.dtype.kind != 'b' and any(
            isinstance(value, bool | np.bool_) for value in given
        )  # among numbers
        if not hidden and _fits(field, values, (len(examples), *field.shape)):
            return values.astype(field.dtype)
    except (KeyError, ValueError):
        pass  # the row that is to blame is named below
    for row, example in zip(rows, examples, strict=True):
        if name not in example:
            raise DataError(f'row {row} has no {name!r}; its fields are {", ".join(map(repr, example))}')
        try:
            value = np.array(example[name])
        except ValueError:  # of parts that are unlike
            value = np.array(str(example[name]))
        if not _fits(field, value, field.shape):
            shown = ' '.join(str(example[name]).split())[:80]
            raise DataError(
                f'row {row}: {name!r} is {shown} ({value.dtype} {value.shape}); needed is {field}: '
                'mend the data set, or what it declares'
            )
    kinds = ', '.join(sorted({str(np.array(example[name]).dtype) for example in examples}))
    raise DataError(f'rows {rows[0]} to {rows[-1]}: {name!r} is of unlike types ({kinds}); needed is {field}')


def _fits(field: Field, values: np.ndarray, shape: tuple[int, ...]) -> bool:
    if values.shape != shape or values.dtype.kind not in ACCEPTED[np.dtype(field.dtype).kind]:
        return False
    kind = np.dtype(field.dtype)
    if kind.kind in 'iu' and not _within(values, np.iinfo(kind).min, np.iinfo(kind).max):  # nothing wraps around
        return False
    if field.besides is not None:
        values = values[values != field.besides]
    least, most = -np.inf if field.least is None else field.least, np.inf if field.most is None else field.most
    return _within(values, least, most)


def _within(values: np.ndarray, least: float, most: float) -> bool:
    """Whether all are finite, and from `least` to `most`; so where there is none."""
    if not values.size:
        return True
    low, high = values.min(), values.max()
    return bool(np.isfinite(low) and np.isfinite(high) and least <= low and high <= most)
