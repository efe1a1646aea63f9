"""A figure whose parts stand at places in inches from the left and from the top, so that nothing lies on another."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cnn_jax.drawing.figure import INK, MUTED, Scale, as_rgb, new_figure
from cnn_jax.drawing.text import LINE, SMALLEST, columns_of, height_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes


class Sheet:
    """A figure of a width and a height in inches; parts are put on it one after the other."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = new_figure(width, height, layout=None)

    def write(
        self,
        left: float,
        top: float,
        lines: Sequence[str],
        points: float = 9,
        *,
        color: str = INK,
    ) -> float:
        """Writes lines with their upper left corner there; returns their height.

        Each stands on a baseline of its own: matplotlib would move a line without tall letters up.
        """
        for number, line in enumerate(lines):
            base = top + (number * LINE + 1) * points / 72
            if line:
                self.figure.text(left / self.width, 1 - base / self.height, line, fontsize=points, color=color)
        return height_of(len(lines), points)

    def axes(self, left: float, top: float, width: float, height: float, *, bare: bool = True) -> 'Axes':
        """Axes at a place; bare: without lines and ticks."""
        low = 1 - (top + height) / self.height
        found = self.figure.add_axes((left / self.width, low, width / self.width, height / self.height))
        if bare:
            found.set_axis_off()
        return found

    def picture(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        values: 'np.ndarray',
        scale: Scale | None = None,
        *,
        interpolation: str = 'nearest',
        opacity: 'np.ndarray | None' = None,
    ) -> None:
        """Fills a place with an image (height, width, 1 or 3), in 0 .. 1 or uint8, or (height, width) on a scale.

        opacity: of each value, (height, width) in 0 .. 1. Axes of its own would take fifty times as long.
        """
        from matplotlib.colors import Normalize
        from matplotlib.image import BboxImage
        from matplotlib.transforms import Bbox, TransformedBbox

        across, down = 1 / self.width, 1 / self.height
        place = Bbox.from_bounds(left * across, 1 - (top + height) * down, width * across, height * down)
        colors = {'cmap': scale.colors, 'norm': Normalize(scale.low, scale.high)} if scale else {}
        box = TransformedBbox(place, self.figure.transFigure)
        shown = BboxImage(box, interpolation=interpolation, alpha=opacity, **colors)
        shown.set_data(values if scale else as_rgb(values))
        self.figure.add_artist(shown)

    def bar(
        self, left: float, top: float, height: float, scale: Scale, unit: str, *, colors: Any = None, extend: Any = None
    ) -> None:
        """A slim colour-bar with its ends, 0 and the unit; extend: the ends at which a scale leaves values out."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        shown = ScalarMappable(Normalize(scale.low, scale.high), colors or scale.colors)
        beside = self.axes(left, top, 0.08, height, bare=False)
        options = {'extend': extend} if extend else {}
        bar = self.figure.colorbar(shown, cax=beside, ticks=scale.ticks, format='%.3g', **options)
        bar.ax.tick_params(labelsize=SMALLEST, pad=2)
        bar.set_label(unit, fontsize=SMALLEST)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]

    def key(self, left: float, top: float, lines: Sequence[str], inches: float) -> None:
        """A key in columns, as wide as `inches`; see `text.key_height`."""
        columns = columns_of(lines, inches)
        for number, column in enumerate(columns):
            self.write(left + number * inches / len(columns), top, column, SMALLEST, color=MUTED)
