"""A sheet of pictures to look at: what they were made of, small, and beneath it the pictures, as large as the page."""

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.sheet import Sheet
from cnn_jax.drawing.text import SMALLEST, height_of, shortened, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARGIN, _GAP, _THUMB = 0.1, 0.08, 1.1  # inches: around all, between pictures, the height of a small picture
_ACROSS = 3  # pictures beside each other, at most

Titled = tuple[str, np.ndarray]
"""A picture (height, width, 1 or 3) in 0 .. 1, with its title."""


def draw(
    small: Sequence[Titled], large: Sequence[Titled], *, notes: Sequence[str] = (), width: float = 8.0
) -> 'Figure':
    """The sheet; all large pictures have one shape. width: inches."""
    inside, title = width - 2 * _MARGIN, height_of(1, SMALLEST) + 0.03
    across = min(len(large), _ACROSS)
    wide = (inside - (across - 1) * _GAP) / across
    high = wide * large[0][1].shape[0] / large[0][1].shape[1]
    thumbs = [_THUMB * one.shape[1] / one.shape[0] for _, one in small]
    shrink = min(1.0, (inside - (len(small) - 1) * _GAP) / sum(thumbs))
    top = _MARGIN + title + _THUMB * shrink + _GAP
    ends = [line for note in notes for line in wrapped(note, inside, SMALLEST)]
    with drawing.style():
        sheet = Sheet(
            width, top + ceil(len(large) / across) * (title + high + _GAP) + height_of(len(ends), SMALLEST) + _MARGIN
        )
        left = _MARGIN
        for one, thumb in zip(small, thumbs, strict=True):
            _put(sheet, one, left, _MARGIN, (thumb * shrink, _THUMB * shrink))
            left += thumb * shrink + _GAP
        for number, one in enumerate(large):
            row, column = divmod(number, across)
            _put(sheet, one, _MARGIN + column * (wide + _GAP), top + row * (title + high + _GAP), (wide, high))
        sheet.write(
            _MARGIN, sheet.height - _MARGIN - height_of(len(ends), SMALLEST), ends, SMALLEST, color=drawing.MUTED
        )
    return sheet.figure


def _put(sheet: Sheet, one: Titled, left: float, top: float, size: tuple[float, float]) -> None:
    words, picture = one
    sheet.write(left, top, [shortened(words, size[0], SMALLEST)], SMALLEST)
    beneath = top + height_of(1, SMALLEST) + 0.03
    sheet.picture(left, beneath, *size, np.clip(picture, 0, 1), interpolation='auto')
