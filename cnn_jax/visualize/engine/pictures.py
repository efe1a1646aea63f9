"""Attributions in colour: the step from raw, signed numbers to a picture, with the scale that it used."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE = 99.8  # percent of the values that a colour scale spans; the rest is drawn as its ends


def color_limit(values: np.ndarray) -> float:
    """The end of a scale centred on zero that holds SHARE of the values; 0 if all are 0."""
    magnitudes = np.abs(values)
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
    return bool((maps == maps[..., :1]).all())


def draw(maps: np.ndarray, images: np.ndarray, titles: Sequence[str], *, label: str, width: float = 8.0) -> 'Figure':
    """A row for each image: the image, the map in colours on one scale for all rows, and the map over the image.

    maps: (rows, height, width, channels), raw; channels are summed, as `flat` says. images: (rows, height, width, 1 or
    3), in 0 .. 1. label: what the numbers are. titles: of the images.
    """
    summed = flat(maps)
    limit = color_limit(summed) or 1.0
    colors: dict[str, Any] = {'cmap': drawing.diverging(), 'vmin': -limit, 'vmax': limit, 'interpolation': 'nearest'}
    with drawing.style():
        panel = (width - 1.2) / 3  # inches
        height = panel * summed.shape[1] / summed.shape[2]
        figure = drawing.new_figure(width, len(maps) * (height + 0.3) + 0.5, layout=None)
        whole, shown = figure.get_figheight(), None
        figure.text(0.05 / width, 1 - 0.2 / whole, label)
        said = f'orange: positive, blue: negative; one scale for all rows, which holds {SHARE} % of the values'
        said += '; channels are summed' if not are_copies(maps) else ''
        figure.text(0.05 / width, 1 - 0.36 / whole, said, fontsize=7, color=drawing.MUTED)
        for row, (picture, image, title) in enumerate(zip(summed, images, titles, strict=True)):
            bottom = 1 - ((row + 1) * (height + 0.3) + 0.4) / whole
            line: list[Any] = [
                figure.add_axes((0.05 / width + place * (panel + 0.06) / width, bottom, panel / width, height / whole))
                for place in range(3)
            ]
            for axes in line:
                axes.set_axis_off()
            line[0].imshow(drawing.as_rgb(image), interpolation='nearest')
            line[0].set_title(title)
            shown = line[1].imshow(picture, **colors)
            line[1].set_title(state(picture), wrap=True, fontsize=7)
            line[2].imshow(drawing.as_rgb(image).mean(-1), cmap='gray', vmin=-0.6, vmax=1.6)
            line[2].imshow(picture, alpha=np.sqrt(np.clip(np.abs(picture) / limit, 0, 1)) * 0.85, **colors)
        assert shown is not None
        tall = min(len(maps) * (height + 0.3) - 0.3, 4.0)  # inches
        beside = figure.add_axes(((width - 0.95) / width, 1 - (0.7 + tall) / whole, 0.12 / width, tall / whole))
        bar = figure.colorbar(shown, cax=beside, extend='both')
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return figure


def recorded(maps: np.ndarray) -> Mapping[str, Any]:
    """The settings of the colour step, to be stored beside the raw numbers."""
    return {
        'colors': drawing.diverging().name,
        'channels': 'copies' if are_copies(np.asarray(maps)) else 'summed',
        'limit': color_limit(flat(maps)),
        'share': SHARE,
    }
