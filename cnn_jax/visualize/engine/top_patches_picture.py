"""The picture of `top_patches`: a row of patches for each channel, and what excites the unit in each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.sheet import Sheet
from cnn_jax.drawing.text import SMALLEST, height_of, key_height, key_of, shortened, width_of, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT, _BAR, _GAP = 0.65, 0.75, 0.03  # inches: the channels' numbers, a colour-bar, between patches


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None) -> 'Figure':
    """Above each patch the value and, if it is short enough, the label's name, else a letter with a key beneath."""
    patches, channels, guided = arrays['patches'], arrays['channels'], arrays.get('guided')
    _, count, high, wide, _ = patches.shape
    across = width - _LEFT - (_BAR + 0.15 if guided is not None else 0.1)
    strip = across / 2 - 0.05 if guided is not None else across
    size = min(strip / count - _GAP, 1.6 * wide / high)
    height, above = size * high / wide, height_of(2, SMALLEST) + 0.06
    key = key_of(_names(arrays, class_names), size)
    heads = _heads(arrays, width, strip)
    top = max(sum(height_of(len(lines), points) for lines, points in heads), height_of(2, 9)) + 0.12
    beneath = key_height(key.lines, width - 0.2)
    with drawing.style():
        sheet = Sheet(width, top + len(channels) * (height + above) + beneath + 0.12)
        down = 0.06
        for lines, points in heads:
            down += sheet.write(_LEFT if points > SMALLEST else 0.1, down, lines, points)
        if guided is not None:
            sheet.write(
                _LEFT + strip + 0.1,
                0.06,
                wrapped('guided backpropagation: activation per unit of the input', across - strip, 9),
                9,
            )
        for number, channel in enumerate(channels):
            place = top + number * (height + above) + above
            sheet.write(0.1, place + height / 2 - 0.14, ['channel', str(channel)], 8)
            _draw_patches(sheet, arrays, number, (place, size, height), key.marks)
            if guided is not None:
                _draw_guided(sheet, guided[number], (_LEFT + strip + 0.1, place, size, height))
        sheet.key(0.1, sheet.height - beneath - 0.05, key.lines, width - 0.2)
    return sheet.figure


def _names(arrays: Mapping[str, np.ndarray], class_names: Any) -> dict[int, str]:
    numbers = np.unique(arrays['labels']).tolist()
    return {number: str(number if class_names is None else class_names[number]) for number in numbers}


def _heads(arrays: Mapping[str, np.ndarray], width: float, strip: float) -> list[tuple[list[str], float]]:
    """Lines and their sizes: what is shown, and what is left out and why."""
    heads: list[tuple[list[str], float]] = [
        (wrapped(f'strongest patches in {arrays["layer"]}: value, label', strip, 9), 9)
    ]
    if 'guided_left_out' in arrays:
        heads.append((wrapped(str(arrays['guided_left_out']), width - 0.2, SMALLEST), SMALLEST))
    return heads


def _draw_patches(
    sheet: Sheet,
    arrays: Mapping[str, np.ndarray],
    number: int,
    place: tuple[float, float, float],
    marks: Mapping[int, str],
) -> None:
    """The patches of a channel; place: their top, width and height."""
    top, size, height = place
    rows = zip(arrays['patches'][number], arrays['values'][:, number], arrays['labels'][:, number], strict=True)
    for rank, (patch, value, label) in enumerate(rows):
        left = _LEFT + rank * (size + _GAP)
        sheet.write(left, top - height_of(2, SMALLEST) - 0.03, [_short(value, size), marks[int(label)]], SMALLEST)
        sheet.picture(left, top, size, height, patch)


def _short(value: float, inches: float) -> str:
    """A number with as many digits as fit."""
    texts = [f'{value:.3g}', f'{value:.2g}', f'{value:.0e}'.replace('e-0', 'e-').replace('e+0', 'e')]
    return next((text for text in texts if width_of(text, SMALLEST) <= inches), shortened(texts[-1], inches, SMALLEST))


def _draw_guided(sheet: Sheet, pictures: np.ndarray, place: tuple[float, float, float, float]) -> None:
    """Guided pictures of one channel, grey or in the colours of the image where 0 is grey, and their colour-bar."""
    left, top, size, height = place
    grey = pictures.shape[-1] == 1
    scale = drawing.scale_of(pictures)
    if not grey:
        scale = scale._replace(low=-scale.high)  # grey is 0, whatever the signs
    for rank, picture in enumerate(pictures):
        place = left + rank * (size + _GAP), top, size, height
        if grey:
            sheet.picture(*place, picture[..., 0], scale)
        else:
            sheet.picture(*place, np.clip(0.5 + np.nan_to_num(picture) / (2 * scale.high), 0, 1))
    if not np.any(pictures):
        sheet.write(left, top - height_of(1, SMALLEST) - 0.03, ['zero: the unit is off'], SMALLEST)
    beside = left + len(pictures) * (size + _GAP) + 0.03
    sheet.bar(beside, top, height, scale, '', colors=None if grey else 'gray')
