"""Covering parts of an image, the panels of Zeiler and Fergus 2013 (arXiv:1311.2901), Figure 7."""

import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.visualize import occlusion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NAMED = 5  # classes beneath a panel


def visualize(
    model: Any,
    variables: Any,
    *,
    images: Any,
    targets: Any = None,
    layer: str | None = None,
    window: Any = None,
    stride: Any = None,
    baseline: Any = 0.0,
) -> dict[str, np.ndarray]:
    """Returns, for each place of the window, (batch, rows, columns): `score` and `probability` of the class, `label`,
    the class that wins, and `strongest_map`, the sum of the strongest channel of `layer`; and `inputs`.

    layer: None: the last that has maps. For the rest see `occlusion`.
    """
    seen = occlusion.look(
        model, variables, images, targets, map_layer=layer, window=window, stride=stride, baseline=baseline
    )
    arrays = {name: np.asarray(value) for name, value in seen._asdict().items()}
    return {**arrays, 'inputs': np.asarray(images)}


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None) -> 'Figure':
    """For each image the image, the probability, the strongest map and the label, by the place of the window."""
    rows = len(arrays['score'])
    winners = [_winners(labels, class_names) for labels in arrays['label']]
    window, stride = ('x'.join(map(str, arrays[name])) for name in ('window', 'stride'))
    with drawing.style():
        beneath = 0.13 * max(len(found.lines) for found in winners)  # inches
        figure = drawing.new_figure(width, rows * (width / 4.6 + 0.3 + beneath) + 0.3)
        figure.suptitle(
            f'what the net says while a window of {window} pixels is covered, in steps of {stride}',
            x=0.01, ha='left', fontsize=10,
        )  # fmt: skip
        grid = figure.subplots(rows, 4, squeeze=False)
        for number, line in enumerate(grid):
            for axes in line:
                axes.set_axis_off()
            line[0].imshow(drawing.as_rgb(drawing.stretched(arrays['inputs'][number])))
            line[0].set_title('image', fontsize=8)
            shown = line[1].imshow(arrays['probability'][number], cmap='cividis', vmin=0, vmax=1)
            line[1].set_title('probability of the class', fontsize=8)
            _color_bar(figure, shown, line[1])
            shown = line[2].imshow(arrays['strongest_map'][number], cmap='cividis')
            line[2].set_title(f'sum of a map of {arrays["map_layer"]}', fontsize=8)
            _color_bar(figure, shown, line[2])
            _draw_labels(line[3], arrays['label'][number], winners[number])
    return figure


def _color_bar(figure: Any, shown: Any, axes: Any) -> None:
    """As high as the panel, whatever stands beneath."""
    bar = figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.05, 1)))
    bar.outline.set_visible(False)


class _Winners(NamedTuple):
    """The classes that win somewhere."""

    usual: int  # the one that wins at most places
    name: str  # of it
    marks: dict[int, str]  # for the others: short names, or letters
    lines: list[str]  # what the letters mean


def _winners(labels: np.ndarray, class_names: Any) -> _Winners:
    values, counts = np.unique(labels, return_counts=True)
    usual, *others = values[np.argsort(-counts, kind='stable')].tolist()
    names = {value: str(value if class_names is None else class_names[value]) for value in (usual, *others)}
    marks, lines = {value: names[value] for value in others}, []
    if max(map(len, marks.values()), default=0) > 3:
        marks = {value: string.ascii_lowercase[number % 26] for number, value in enumerate(others)}
        lines = [f'{marks[value]} {names[value][:22]}' for value in others[:_MOST_NAMED]]
        lines += [f'and {len(others) - _MOST_NAMED} more'] if len(others) > _MOST_NAMED else []
    return _Winners(usual, names[usual], marks, lines)


def _draw_labels(axes: Any, labels: np.ndarray, winners: _Winners) -> None:
    """The class that wins at each place: the usual one pale, others dark and named."""
    axes.imshow(labels != winners.usual, cmap=drawing.diverging(), vmin=-1.4, vmax=1.4)
    axes.set_title(f'wins: {winners.name[:18]}{"; else" if winners.marks else ""}', fontsize=8)
    axes.text(0, -0.03, '\n'.join(winners.lines), transform=axes.transAxes, va='top', fontsize=7)
    for (row, column), label in np.ndenumerate(labels):
        if label != winners.usual:
            axes.text(column, row, winners.marks[label], ha='center', va='center', fontsize=6, color=drawing.PAPER)
