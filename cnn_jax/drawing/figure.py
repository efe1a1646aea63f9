"""Figures: one style, colours that everyone can tell apart, and the numbers saved beside each picture.

Only `matplotlib.figure.Figure` is used, never pyplot, which takes longer to import and keeps every figure alive.
"""

import io
import json
import re
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnn_jax.files.whole import written_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK, MUTED, RULE = '#1c2024', '#697077', '#d5d9dd'  # text, labels, axes
BLUE, ORANGE = '#2463a6', '#c2571a'  # first and second series; they differ in lightness too
PAPER = '#ffffff'

_FONT = 9
_STYLE: dict[Any, Any] = {
    'font.size': _FONT,
    'font.family': 'sans-serif',
    'axes.edgecolor': RULE,
    'axes.labelcolor': MUTED,
    'axes.titlecolor': INK,
    'axes.titlesize': _FONT + 1,
    'axes.titlelocation': 'left',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid.axis': 'y',
    'axes.axisbelow': True,
    'grid.color': RULE,
    'grid.linewidth': 0.6,
    'text.color': INK,
    'xtick.color': MUTED,
    'ytick.color': MUTED,
    'xtick.major.size': 3,
    'ytick.major.size': 0,
    'lines.linewidth': 1.6,
    'lines.solid_capstyle': 'round',
    'legend.frameon': False,
    'text.parse_math': False,  # names come from files: a dollar is a dollar
    'svg.fonttype': 'none',
    'svg.hashsalt': 'cnn_jax',
}


class Drawn(NamedTuple):
    """A figure, the numbers in it, and what it shows in words."""

    figure: 'Figure'
    arrays: dict[str, np.ndarray]
    caption: str


def style() -> Any:
    """A context in which figures are drawn and written in this project's style. Other figures keep theirs."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def new_figure(width: float, height: float, *, layout: Any = 'constrained') -> 'Figure':
    """An empty figure, width and height in inches. layout: None is quicker, and leaves all places to the caller."""
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=120, layout=layout, facecolor=PAPER)


def diverging() -> 'Colormap':
    """From blue through near-white to orange: for signed values, with zero in the middle.

    Lightness falls by equal steps on both sides in Oklab (a perceptually uniform space: Ottosson 2020), and blue and
    orange stay apart in the usual kinds of colour blindness.
    """
    from matplotlib.colors import ListedColormap

    half = np.linspace(0, 1, 128)[:, None]
    middle, blue, orange = (np.array(colour) for colour in ((0.97, 0, 0), (0.40, -0.03, -0.13), (0.40, 0.10, 0.08)))
    colours = np.concatenate([blue + half * (middle - blue), middle + half * (orange - middle)])
    return ListedColormap(oklab_to_rgb(colours), 'blue_orange')


def sequential() -> 'Colormap':
    """From near-white to orange, the upper half of `diverging`: for values that are never negative."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(diverging()(np.linspace(0.5, 1, 256)), 'orange')


class Scale(NamedTuple):
    """How numbers become colours."""

    colors: 'Colormap'
    low: float
    high: float

    @property
    def drawn(self) -> dict[str, Any]:
        """As `imshow` takes it; what is no number is grey."""
        return {'cmap': self.colors, 'vmin': self.low, 'vmax': self.high, 'interpolation': 'nearest'}

    @property
    def ticks(self) -> list[float]:
        """The ends, and 0."""
        return sorted({self.low, 0.0, self.high})


def scale_of(values: np.ndarray, limit: float | None = None) -> Scale:
    """A scale with 0 in the middle; from 0 on where no value is negative, so that no half of it is idle.

    limit: its end; None: the largest magnitude that is a number.
    """
    finite = values[np.isfinite(values)]
    end = float(np.abs(finite).max(initial=0)) if limit is None else limit
    signed = bool((finite < 0).any())
    colors = (diverging() if signed else sequential()).with_extremes(bad=RULE)
    return Scale(colors, -(end or 1.0) if signed else 0.0, end or 1.0)


def oklab_to_rgb(colours: np.ndarray) -> np.ndarray:
    """Oklab colours (n, 3) as sRGB in 0 .. 1; what a screen cannot show is clipped."""
    to_cones = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip((colours @ to_cones.T) ** 3 @ to_linear.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def tint(strength: np.ndarray, colour: str = BLUE) -> np.ndarray:
    """Values 0 .. 1 as the opacity of a colour, (..., 4): a larger value is stronger on white and on black."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.concatenate([np.broadcast_to(rgb, (*strength.shape, 3)), strength[..., None]], axis=-1)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image (height, width, 1 or 3) of uint8, or of floats in 0 .. 1, as RGB that matplotlib takes as it is."""
    return np.broadcast_to(image, (*image.shape[:2], 3)) if image.shape[-1] == 1 else image[..., :3]


def stretched(image: np.ndarray) -> np.ndarray:
    """A floating-point image with its values stretched to 0 .. 1, so that model inputs can be looked at."""
    there = np.isfinite(image)
    if not there.any() or np.ptp(image[there]) == 0:
        return np.zeros_like(image)
    low, high = float(image[there].min()), float(image[there].max())
    return (np.where(there, image, low) - low) / (high - low)


def tile(images: np.ndarray, *, columns: int, gap: int = 1) -> np.ndarray:
    """Puts images (n, height, width, ...) in rows of `columns`, with gaps of NaN between them."""
    count, height, width = images.shape[:3]
    rows, columns = ceil(count / columns), min(columns, count)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:])
    picture = np.full(shape, np.nan, np.float32)
    for number, image in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        picture[top : top + height, left : left + width] = image
    return picture


def color_bar(figure: 'Figure', mappable: 'ScalarMappable', axes: 'Axes', label: str) -> None:
    """A slim colour-bar with numbers."""
    bar = figure.colorbar(mappable, ax=axes, fraction=0.05, pad=0.02, aspect=28)
    bar.set_label(label)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def save_figure(
    figure: 'Figure', folder: Path, name: str, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> None:
    """Writes NAME.png, and NAME.npz with the numbers and with `settings` as a JSON text."""
    folder.mkdir(parents=True, exist_ok=True)
    with style(), written_beside(folder / f'{name}.png') as temporary, temporary.open('wb') as file:
        figure.savefig(file, format='png')
        figure.set_layout_engine('none')  # it is laid out now; another look would take as long again
    save_arrays(folder, name, arrays, settings)


def save_arrays(folder: Path, name: str, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> None:
    """Writes NAME.npz: arrays, and `settings` as a JSON text."""
    folder.mkdir(parents=True, exist_ok=True)
    text = np.array(json.dumps(settings, default=str))
    with written_beside(folder / f'{name}.npz') as temporary, temporary.open('wb') as file:
        np.savez_compressed(file, allow_pickle=False, **arrays, settings=text)


def save_film(frames: np.ndarray, folder: Path, name: str, *, seconds: float = 0.08) -> None:
    """Writes NAME.gif of frames (frames, height, width, 1 or 3) in 0 .. 1, each shown for so long, again and again."""
    from PIL import Image

    shown = [Image.fromarray(np.round(255 * np.clip(as_rgb(frame), 0, 1)).astype(np.uint8)) for frame in frames]
    folder.mkdir(parents=True, exist_ok=True)
    with written_beside(folder / f'{name}.gif') as temporary, temporary.open('wb') as file:
        shown[0].save(file, 'GIF', save_all=True, append_images=shown[1:], duration=round(1000 * seconds), loop=0)


def as_png(image: np.ndarray, largest: int | None = None) -> bytes:
    """A uint8 image (height, width, 1 or 3) as PNG, scaled down if a side is more than `largest` pixels."""
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if largest is not None:
        picture.thumbnail((largest, largest))
    buffer = io.BytesIO()
    picture.save(buffer, 'PNG')
    return buffer.getvalue()


def as_svg(figure: 'Figure') -> str:
    """The figure as an inline SVG element. Its colours are CSS variables, so it follows the theme of the page."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    text = buffer.getvalue()
    text = text[text.index('<svg') :]
    text = re.sub(r'<metadata>.*?</metadata>|<style.*?</style>', '', text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', '<g', text)  # the same in every figure
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', '', text)
    text = text.replace('xlink:href', 'href')
    for name, colour in {'ink': INK, 'muted': MUTED, 'rule': RULE, 'blue': BLUE, 'orange': ORANGE}.items():
        text = text.replace(colour, f'var(--{name}, {colour})')
    width, height = (72 * inches for inches in figure.get_size_inches())
    opening = f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{1.4 * width:.0f}px" role="img">'
    return re.sub(r'<svg [^>]*>', opening, text, count=1)
