"""The picture of `honesty`: one image's maps as weights are shuffled, and the means of all images with intervals."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.text import shortened
from cnn_jax.statistics.intervals import mean_interval
from cnn_jax.visualize.engine import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL = 7  # points


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """The maps of the first image above, each on its own scale; correlation, insertion and deletion below."""
    maps, names = np.abs(pictures.flat(arrays['maps'][:, 0])), arrays['layers']
    gap = 0.15  # inches between maps
    size = min((width - 1.0) / len(maps) - gap, 1.6)
    with drawing.style():
        figure = drawing.new_figure(width, size + 4.0, layout=None)
        whole = figure.get_figheight()
        count = arrays['correlation'].shape[1]
        method = str(arrays['method']).replace('_', ' ')
        what = f'{method}: magnitude of the map of the first image as weights are shuffled'
        figure.text(0.1 / width, 1 - 0.22 / whole, what, fontsize=10)
        said = f'below: means of {count} image{"s" if count > 1 else ""} with 95 % intervals'
        figure.text(0.1 / width, 1 - 0.4 / whole, said, fontsize=SMALL, color=drawing.MUTED)
        bottom = 1 - (size + 1.15) / whole
        for level, (picture, name, value) in enumerate(zip(maps, names, arrays['correlation'][:, 0], strict=True)):
            axes = figure.add_axes(((0.1 + level * (size + gap)) / width, bottom, size / width, size / whole))
            _draw_map(axes, picture)
            lines = [*_level(str(name), level, size), *_state(picture, value)]
            axes.set_title('\n'.join(lines), fontsize=SMALL, pad=2)
        _draw_bar(figure, ((0.1 + len(maps) * (size + gap)) / width, bottom, 0.08 / width, size / whole))
        first, second = (figure.add_axes((x, 0.75 / whole, 0.40, 1.65 / whole)) for x in (0.06, 0.56))
        _draw_correlations(first, arrays, 0.40 * width)
        _draw_curves(second, arrays)
    return figure


def _draw_map(axes: Any, picture: np.ndarray) -> None:
    largest = np.nanmax(picture, initial=0.0) or 1
    axes.imshow(picture / largest, cmap=drawing.sequential(), vmin=0, vmax=1)
    axes.set_axis_off()


def _level(name: str, level: int, size: float) -> list[str]:
    """Two lines on what is shuffled."""
    if not level:
        return ['trained weights', '']
    return [f'shuffled{" from the end to" if level > 1 else ""}', shortened(name, size, SMALL, keep='end')]


def _state(picture: np.ndarray, correlation: float) -> list[str]:
    """Two lines on what a map is."""
    if special := pictures.state(picture):
        return [special.partition(' (')[0], 'rank corr. -']
    return [f'rank corr. {shown(correlation)}', f'up to {picture.max():.2g}']


def shown(value: float) -> str:
    """A number with two digits; '-' where there is none."""
    return f'{value:.2f}' if np.isfinite(value) else '-'


def _draw_bar(figure: Any, place: tuple[float, ...]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), drawing.sequential()), cax=figure.add_axes(place))
    bar.set_label('share of the largest', fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)


def _draw_correlations(axes: Any, arrays: Mapping[str, np.ndarray], inches: float) -> None:
    names = [str(name) for name in arrays['layers']]
    found = mean_interval(arrays['correlation'])
    places = np.arange(len(names))
    reach = np.nan_to_num(found.reach)
    axes.errorbar(places, found.mean, reach, color=drawing.BLUE, marker='o', ms=4, capsize=3)
    each = inches / len(names)
    axes.set_xticks(places, [shortened(name, 0.95 * each, SMALL, keep='end') for name in names], fontsize=SMALL)
    lowest = np.nanmin(found.mean - reach, initial=0.0)
    axes.set_ylim(lowest - 0.05, 1.05)
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.tick_params(axis='y', labelsize=SMALL)
    axes.set_title('rank correlation, shuffled from the last layer to …', fontsize=9)
    _say_missing(axes, found.count, arrays['correlation'].shape[1])


def _draw_curves(axes: Any, arrays: Mapping[str, np.ndarray]) -> None:
    for name, color in (('insertion', drawing.BLUE), ('deletion', drawing.ORANGE)):
        found, score = mean_interval(arrays[name]), mean_interval(arrays[f'{name}_score'])
        shares = np.linspace(0, 1, len(found.mean))
        axes.plot(shares, found.mean, color=color, label=f'{name} {with_reach(score.mean, score.reach)}')
        reach = np.nan_to_num(found.reach)
        axes.fill_between(shares, found.mean - reach, found.mean + reach, color=color, alpha=0.2, linewidth=0)
    axes.set_title(str(arrays['measured']), fontsize=9)
    axes.set_xlabel('share of pixels, strongest first', fontsize=8)
    axes.tick_params(labelsize=SMALL)
    if str(arrays['measured']).startswith('probability'):
        axes.set_ylim(0, 1.05)
    axes.legend(loc='best', fontsize=SMALL, handlelength=1.0)
    _say_missing(axes, mean_interval(arrays['insertion_score']).count, arrays['correlation'].shape[1])


def with_reach(mean: Any, reach: Any) -> str:
    """'0.63 ± 0.04'; '-' where there is no mean."""
    if not np.isfinite(mean):
        return '-'
    return f'{float(mean):.2f}' + (f' ± {float(reach):.2f}' if np.isfinite(reach) else '')


def _say_missing(axes: Any, counts: Any, images: int) -> None:
    """How many images have no number, because their map is zero everywhere."""
    missing = images - int(np.min(counts))
    if missing:
        said = (
            f'{missing} of {images} images: no map' if missing < images else 'no map of any image: zero or not finite'
        )
        axes.text(0.98, 0.02, said, transform=axes.transAxes, ha='right', va='bottom', fontsize=SMALL)
