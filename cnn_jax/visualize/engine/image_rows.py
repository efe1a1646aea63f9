"""Rows of images with a caption above each: how pictures by optimisation are shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.sheet import Sheet
from cnn_jax.drawing.text import SMALLEST, height_of, shortened, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT, _GAP, _MARGIN = 0.95, 0.06, 0.1  # inches: the names of the rows, between images, around all
_LARGEST = 2.2  # inches, the width of an image


class Row(NamedTuple):
    """A row of a figure.

    name: at its left. images: (columns, height, width, 1 or 3) in 0 .. 1. captions: lines above each image, at the
    same number for all images of the row; what does not fit is shortened.
    """

    name: str
    images: np.ndarray
    captions: Sequence[Sequence[str]]


def draw(rows: Sequence[Row], *, heading: str, notes: Sequence[str] = (), width: float = 8.0) -> 'Figure':
    """Rows of images, all of one width, beneath a heading; notes stand at the end. width: inches."""
    left = _LEFT if any(row.name for row in rows) else _MARGIN
    most = max(len(row.images) for row in rows)
    across = min((width - left - _MARGIN) / most - _GAP, _LARGEST)
    heads, ends = wrapped(heading, width - 2 * _MARGIN, 10), [line for one in notes for line in _small(one, width)]
    heights = [_height(row, across) for row in rows]
    top = height_of(len(heads), 10) + 2 * _MARGIN
    with drawing.style():
        sheet = Sheet(width, top + sum(heights) + height_of(len(ends), SMALLEST) + 2 * _MARGIN)
        sheet.write(_MARGIN, _MARGIN, heads, 10)
        for row, height in zip(rows, heights, strict=True):
            _draw_row(sheet, row, left, top, across)
            top += height
        sheet.write(_MARGIN, top, ends, SMALLEST, color=drawing.MUTED)
    return sheet.figure


def _small(text: str, width: float) -> list[str]:
    return wrapped(text, width - 2 * _MARGIN, SMALLEST)


def _lines(row: Row) -> int:
    return max((len(lines) for lines in row.captions), default=0)


def _height(row: Row, across: float) -> float:
    return height_of(_lines(row), SMALLEST) + across * row.images.shape[1] / row.images.shape[2] + 0.14


def _draw_row(sheet: Sheet, row: Row, left: float, top: float, across: float) -> None:
    """Captions, and images beneath them; pixels stay squares as long as an inch has few."""
    above, high = height_of(_lines(row), SMALLEST) + 0.04, across * row.images.shape[1] / row.images.shape[2]
    names = [shortened(row.name, left - 2 * _MARGIN, 8)] if row.name else []
    sheet.write(_MARGIN, top + above + high / 2 - 0.07, names, 8)
    few = row.images.shape[2] < 100 * across
    for number, (image, lines) in enumerate(zip(row.images, row.captions, strict=True)):
        place = left + number * (across + _GAP)
        sheet.write(place, top, [shortened(line, across, SMALLEST) for line in lines], SMALLEST)
        shown = np.clip(image, 0, 1)
        sheet.picture(place, top + above, across, high, shown, interpolation='nearest' if few else 'auto')
