"""Attributions in colour: the step from raw, signed numbers to a picture, with the scale that it used."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.sheet import Sheet
from cnn_jax.drawing.text import SMALLEST, height_of, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE = 99.8  # percent of the values that a colour scale spans; the rest is drawn as its ends


def color_limit(values: np.ndarray) -> float:
    """The end of a scale from 0 that holds SHARE of the values that are numbers; 0 if all are 0."""
    magnitudes = np.abs(values[np.isfinite(values)])
    limit = float(np.percentile(magnitudes, SHARE)) if magnitudes.size else 0.0
    return limit or float(magnitudes.max(initial=0))


def state(picture: np.ndarray) -> str:
    """What is special about a map: 'zero everywhere', 'one number everywhere', 'not finite', else ''."""
    if not np.isfinite(picture).all():
        return 'not finite'
    if not picture.any():
        return 'zero everywhere (no gradient reaches the image, or nothing speaks for the class)'
    return 'one number everywhere' if np.ptp(picture) == 0 else ''


def flat(maps: np.ndarray) -> np.ndarray:
    """The sum over the channels, signed, (batch, height, width); of channels that are copies (occlusion's), one."""
    maps = np.asarray(maps)
    return maps[..., 0] if are_copies(maps) else maps.sum(-1)


def are_copies(maps: np.ndarray) -> bool:
    """Whether all channels are the same."""
    return bool(((maps == maps[..., :1]) | np.isnan(maps)).all())


def draw(
    maps: np.ndarray,
    images: np.ndarray,
    titles: Sequence[str],
    *,
    label: str,
    unit: str = '',
    notes: Sequence[str] | None = None,
    width: float = 8.0,
) -> 'Figure':
    """A row for each image: the image, the map in colours on one scale for all rows, and the map over the image.

    maps: (rows, height, width, channels), raw; channels are summed, as `flat` says. images: (rows, height, width, 1 or
    3), in 0 .. 1. titles, notes: of the images. label: what the numbers are. unit: of them, beside the colour bar.
    """
    summed = flat(maps)
    scale = drawing.scale_of(summed, color_limit(summed))
    texts = [
        (wrapped(title, width - 1.2, 9), [line for line in (state(picture), note) if line])
        for title, note, picture in zip(titles, notes or [''] * len(maps), summed, strict=True)
    ]
    heads = wrapped(label, width - 0.2, 9)
    said = wrapped(f'{_colors_in_words(scale)}; {_about_channels(maps)}', width - 0.2, SMALLEST)
    tops = [height_of(len(title), 9) + height_of(len(note), SMALLEST) + 0.08 for title, note in texts]  # inches
    panel = (width - 1.3) / 3
    height = panel * summed.shape[1] / summed.shape[2]
    with drawing.style():
        begin = height_of(len(heads), 9) + height_of(len(said), SMALLEST) + 0.12
        sheet = Sheet(width, begin + sum(tops) + len(maps) * (height + 0.08))
        top = 0.06 + sheet.write(0.1, 0.06, heads, 9)
        sheet.write(0.1, top, said, SMALLEST, color=drawing.MUTED)
        top = begin
        for (title, note), above, picture, image in zip(texts, tops, summed, images, strict=True):
            below = top + sheet.write(0.1, top, title, 9)
            sheet.write(0.1, below, note, SMALLEST, color=drawing.MUTED)
            top += above
            places = [(0.1 + place * (panel + 0.06), top, panel, height) for place in range(3)]
            _draw_row(sheet, places, picture, image, scale)
            top += height + 0.08
        tall = min(max(top - begin - tops[0] - 0.08, 1.2), 4.0)
        ends = 'both' if scale.low else 'max'
        sheet.bar(width - 0.95, begin + tops[0], tall, scale, unit, extend=ends)
    return sheet.figure


def _draw_row(
    sheet: Sheet,
    places: Sequence[tuple[float, float, float, float]],
    picture: np.ndarray,
    image: np.ndarray,
    scale: drawing.Scale,
) -> None:
    """The image, the map, and the map over the pale image in grey."""
    pale = (drawing.as_rgb(image).mean(-1, keepdims=True) + 0.6) / 2.2
    strength = np.clip(np.nan_to_num(np.abs(picture) / scale.high), 0, 1)
    sheet.picture(*places[0], image)
    sheet.picture(*places[1], picture, scale)
    sheet.picture(*places[2], pale)
    sheet.picture(*places[2], picture, scale, opacity=np.sqrt(strength) * 0.85)


def _colors_in_words(scale: drawing.Scale) -> str:
    colors = 'orange: positive, blue: negative' if scale.low else 'no value is negative'
    return f'{colors}; one scale for all rows, which holds {SHARE} % of the values'


def _about_channels(maps: np.ndarray) -> str:
    return 'one number for each pixel' if are_copies(maps) else 'channels are summed'


def recorded(maps: np.ndarray) -> Mapping[str, Any]:
    """The settings of the colour step, to be stored beside the raw numbers."""
    limit = color_limit(flat(maps))
    return {
        'colors': drawing.scale_of(flat(maps), limit).colors.name,
        'channels': 'copies' if are_copies(np.asarray(maps)) else 'summed',
        'limit': limit,
        'share': SHARE,
    }
