"""The algebra of receptive fields: which image pixels the units of an array see, as arrays are combined.

A `Field` says it for all units at once, as an affine map: the unit at index i sees the image rows step*i + low to
step*i + high, rows and columns alike. An axis that a reshape merged out of several keeps them apart as its factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

FIXED, LEARNED = 'fixed', 'learned'  # arrays that do not depend on the image: on no parameter either, or on one
UNKNOWN = 'unknown'  # depends on the image in a way that has no rule here, or that is not affine


class Factor(NamedTuple):
    """An axis, or a part of a merged one: its size, and how far the units move over the image from one to the next."""

    size: int
    rows: int = 0
    columns: int = 0


Axis = tuple[Factor, ...]  # outermost first


@dataclass(frozen=True)
class Field:
    """What the units of an array see: the axes, and the interval that the unit at index 0 sees on either image axis."""

    axes: tuple[Axis, ...]
    low: tuple[int, int] = (0, 0)  # (row, column); below 0 where padding is seen
    high: tuple[int, int] = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of one unit's receptive field in image pixels, padding included."""
        return self.high[0] - self.low[0] + 1, self.high[1] - self.low[1] + 1

    def moved(self, axes: tuple[Axis, ...], rows: int, columns: int) -> 'Field':
        """Other axes, and everything seen `rows` lower and `columns` further right."""
        low = (self.low[0] + rows, self.low[1] + columns)
        return Field(axes, low, (self.high[0] + rows, self.high[1] + columns))

    def widened(self, reaches: Sequence[tuple[int, int]]) -> 'Field':
        """Each unit also sees what lies up to (rows, columns) further; one reach after the other."""
        low = [self.low[side] + sum(min(0, reach[side]) for reach in reaches) for side in (0, 1)]
        high = [self.high[side] + sum(max(0, reach[side]) for reach in reaches) for side in (0, 1)]
        return Field(self.axes, (low[0], low[1]), (high[0], high[1]))


State = Field | str


def image_field(shape: Sequence[int]) -> Field:
    """The field of images (batch, height, width, channels): every unit sees its own pixel."""
    batch, height, width, channels = shape
    return Field(((Factor(batch),), (Factor(height, 1, 0),), (Factor(width, 0, 1),), (Factor(channels),)))


def is_spatial(axis: Axis) -> bool:
    """Whether units along this axis see different pixels."""
    return any(factor.size > 1 and (factor.rows or factor.columns) for factor in axis)


def union(states: Sequence[State]) -> State:
    """What units see that combine the units at the same index of several arrays of one shape."""
    if UNKNOWN in states:
        return UNKNOWN
    fields = [state for state in states if isinstance(state, Field)]
    if not fields:
        return LEARNED if LEARNED in states else FIXED
    merged = fields[0]
    for field in fields[1:]:
        result = _union_of_two(merged, field)
        if not isinstance(result, Field):
            return UNKNOWN
        merged = result
    return merged


def _union_of_two(first: Field, second: Field) -> State:
    if first == second:
        return first
    pairs = [_align(ours, theirs) for ours, theirs in zip(first.axes, second.axes, strict=True)]
    axes = [pair for pair in pairs if pair is not None]
    if len(axes) < len(pairs):
        return UNKNOWN
    sizes = [factor.size for ours, _ in axes for factor in ours]
    sides = []
    for side in (0, 1):
        ours = _Side([f[1 + side] for axis, _ in axes for f in axis], first.low[side], first.high[side])
        theirs = _Side([f[1 + side] for _, axis in axes for f in axis], second.low[side], second.high[side])
        sides.append(_union_of_sides(ours, theirs, sizes))
    rows, columns = sides
    if rows is None or columns is None:
        return UNKNOWN
    factors = map(Factor, sizes, rows.steps, columns.steps)
    regrouped = tuple(tuple(next(factors) for _ in ours) for ours, _ in axes)
    return Field(regrouped, (rows.low, columns.low), (rows.high, columns.high))


class _Side(NamedTuple):
    """A field on one image axis alone."""

    steps: list[int]  # of all factors of all axes
    low: int
    high: int


def _union_of_sides(first: _Side, second: _Side, sizes: list[int]) -> _Side | None:
    if all(a == b or size == 1 for a, b, size in zip(first.steps, second.steps, sizes, strict=True)):
        steps = [max(a, b, key=abs) for a, b in zip(first.steps, second.steps, strict=True)]
        return _Side(steps, min(first.low, second.low), max(first.high, second.high))
    for wide, narrow in ((first, second), (second, first)):
        # Squeeze and excitation: one sees the same everywhere, and all that any unit of the other sees.
        still = not any(step for step, size in zip(wide.steps, sizes, strict=True) if size > 1)
        reaches = [step * (size - 1) for step, size in zip(narrow.steps, sizes, strict=True)]
        low = narrow.low + sum(min(0, reach) for reach in reaches)
        high = narrow.high + sum(max(0, reach) for reach in reaches)
        if still and wide.low <= low and wide.high >= high:
            return _Side([0] * len(sizes), wide.low, wide.high)
    return None


def _align(first: Axis, second: Axis) -> tuple[Axis, Axis] | None:
    """Splits the factors of two axes until both have the same sizes; None where that is impossible."""
    if [f.size for f in first] == [f.size for f in second]:
        return first, second
    lefts, rights = ([f for f in reversed(axis) if f.size > 1] for axis in (first, second))
    ours, theirs = [], []
    while lefts and rights:
        size = min(lefts[-1].size, rights[-1].size)
        for stack, done in ((lefts, ours), (rights, theirs)):
            parts = _split(stack.pop(), size)
            if parts is None:
                return None
            done.append(parts[0])
            stack.extend(part for part in parts[1:] if part.size > 1)
    return tuple(ours), tuple(theirs)


def _split(factor: Factor, size: int) -> tuple[Factor, Factor] | None:
    """Splits an axis as the reshape (n,) -> (size, n / size) does."""
    inner, rest = divmod(factor.size, size)
    if rest:
        return None
    return Factor(size, factor.rows * inner, factor.columns * inner), Factor(inner, factor.rows, factor.columns)


class Window(NamedTuple):
    """Along one axis, output unit j reads the input units start + stride*j + dilation*(0 .. length-1)."""

    outputs: int
    length: int = 1
    stride: int = 1
    start: int = 0  # minus the padding
    dilation: int = 1


def slide(field: Field, windows: Sequence[Window]) -> State:
    """What units see that read a window along every axis: convolutions, pools, slices, padding, reversal."""
    axes: list[Axis] = []
    for axis, window in zip(field.axes, windows, strict=True):
        if (window.length, window.stride, window.start) == (1, 1, 0) and window.outputs == _length(axis):
            axes.append(axis)
            continue
        if not any(factor.rows or factor.columns for factor in axis):
            axes.append((Factor(window.outputs),))
            continue
        moving = [f for f in axis if f.size > 1] or [f for f in axis if f.rows or f.columns]
        if len(moving) > 1:  # a window over rows and columns, or rows and channels, that a reshape merged
            return UNKNOWN
        (_, rows, columns) = moving[0]
        reach = (window.length - 1) * window.dilation
        axes.append((Factor(window.outputs, rows * window.stride, columns * window.stride),))
        field = field.moved(field.axes, rows * window.start, columns * window.start)
        field = field.widened([(rows * reach, columns * reach)])
    return field.moved(tuple(axes), 0, 0)


def _length(axis: Axis) -> int:
    return prod(factor.size for factor in axis)


def collapse(field: Field, gone: Sequence[int]) -> Field:
    """What units see that combine all units along the axes `gone`: sums, maxima, products with a matrix."""
    reaches = [((f.size - 1) * f.rows, (f.size - 1) * f.columns) for axis in gone for f in field.axes[axis]]
    axes = tuple(axis for number, axis in enumerate(field.axes) if number not in gone)
    return field.moved(axes, 0, 0).widened(reaches)


def regroup(field: Field, sizes: Sequence[int]) -> State:
    """What units see after a reshape to `sizes`; the factors of merged axes stay apart, so that it can be undone."""
    pending = _coalesced([factor for axis in field.axes for factor in axis])[::-1]
    axes: list[Axis] = []
    for number, size in enumerate(sizes):
        axis: list[Factor] = []
        while _length(tuple(axis)) < size:
            missing = size // _length(tuple(axis))
            factor = pending.pop()
            if factor.size > missing:
                parts = _split(factor, missing)
                if parts is None:
                    return UNKNOWN
                factor = parts[0]
                pending.append(parts[1])
            axis.append(factor)
        if _length(tuple(axis)) != size:
            return UNKNOWN
        wanted = size == 1 or sizes[number + 1 : number + 2] != (1,)  # an axis of 1 that follows takes its own factor
        while wanted and pending and pending[-1].size == 1 and not (size == 1 and axis):
            axis.append(pending.pop())
        axes.append(tuple(axis))
    return field.moved(tuple(axes), 0, 0)


def _coalesced(factors: list[Factor]) -> list[Factor]:
    """Neighbours that do not move over the image as one, which can then be split anywhere."""
    joined: list[Factor] = []
    for factor in factors:
        still = not (factor.rows or factor.columns)
        if still and factor.size > 1 and joined and joined[-1].size > 1 and not (joined[-1].rows or joined[-1].columns):
            factor = Factor(joined.pop().size * factor.size)
        joined.append(factor)
    return joined
