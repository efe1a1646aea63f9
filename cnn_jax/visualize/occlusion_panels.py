"""Covering parts of an image, the panels of Zeiler and Fergus 2013 (arXiv:1311.2901), Figure 7."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.sheet import Sheet
from cnn_jax.drawing.text import SMALLEST, Key, height_of, key_height, key_of, shortened, width_of, wrapped
from cnn_jax.visualize import occlusion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_MAPS = True  # reads the maps of `layer`
_GAP = 0.72  # inches to the right of a panel: its colour-bar
_HEAD = 0.2  # inches above a row of panels


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
    probability: occlusion.Probability = None,
) -> dict[str, np.ndarray]:
    """Returns, for each place of the window, (batch, rows, columns): `score` and `probability` of the class, `label`,
    the class that wins, and `strongest_map`, the sum of the strongest channel of `layer`; and `inputs`.

    layer: None: the last that has maps. probability: scores (batch, classes) to probabilities, the task's own; None:
    there are none, and `probability` is NaN. For the rest see `occlusion`.
    """
    seen = occlusion.look(
        model, variables, images, targets, map_layer=layer, window=window, stride=stride, baseline=baseline,
        probability=probability,
    )  # fmt: skip
    arrays = {name: np.asarray(value) for name, value in seen._asdict().items()}
    return {**arrays, 'inputs': np.asarray(images)}


def draw(
    arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None, titles: Sequence[str] = ()
) -> 'Figure':
    """For each image the image, the probability, the strongest map and the label, by the place of the window.

    titles: of the images. Classes that win somewhere are named in a key beneath their row.
    """
    _, high, wide, _ = arrays['inputs'].shape
    panel = (width - 0.2 - 2 * _GAP - 0.2) / 4
    height = panel * high / wide
    winners = [_winners(labels, class_names, panel / labels.shape[1]) for labels in arrays['label']]
    window, stride = ('x'.join(map(str, arrays[name])) for name in ('window', 'stride'))
    about = f'what the net says while a window of {window} pixels is covered, in steps of {stride}'
    said = [wrapped(title, width - 0.2, 9) for title in titles] or [['']] * len(winners)
    tops = [height_of(len(lines), 9) + _HEAD if any(lines) else _HEAD for lines in said]
    keys = [key_height(key.lines, width - 0.2) for key in winners]
    with drawing.style():
        sheet = Sheet(width, 0.36 + sum(tops) + sum(keys) + len(winners) * (height + 0.12))
        sheet.write(0.1, 0.06, [about], 10)
        top = 0.36
        for number, (lines, above, beneath) in enumerate(zip(said, tops, keys, strict=True)):
            sheet.write(0.1, top, lines, 9)
            top += above
            _draw_row(sheet, arrays, number, (top, panel, height), winners[number])
            top += height + 0.05
            sheet.key(0.1, top, winners[number].lines, width - 0.2)
            top += beneath + 0.07
    return sheet.figure


def _draw_row(
    sheet: Sheet, arrays: Mapping[str, np.ndarray], number: int, place: tuple[float, float, float], key: Key
) -> None:
    """The four panels of an image; place: their top, width and height."""
    top, panel, height = place
    lefts = [0.1, 0.2 + panel, 0.2 + 2 * panel + _GAP, 0.2 + 3 * panel + 2 * _GAP]
    known = np.isfinite(arrays['probability'][number]).any()
    chances = arrays['probability' if known else 'score'][number]
    sums = arrays['strongest_map'][number]
    heads = ['image', f'{"probability" if known else "score"} of the class', f'map of {arrays["map_layer"]}', 'class']
    for left, head in zip(lefts, heads, strict=True):
        sheet.write(left, top - 0.15, [shortened(head, panel + 0.3, 8, keep='end')], 8)
    image, chance, strongest, label = (sheet.axes(left, top, panel, height) for left in lefts)
    image.imshow(drawing.as_rgb(drawing.stretched(arrays['inputs'][number])), interpolation='nearest')
    for axes, left, values, limit, unit in (
        (chance, lefts[1], chances, 1.0 if known else None, 'probability' if known else 'score'),
        (strongest, lefts[2], sums, None, 'activation, summed'),
    ):
        scale = drawing.scale_of(values, limit)
        axes.imshow(values, aspect='auto', **scale.drawn)
        sheet.bar(left + panel + 0.05, top, height, scale, unit)
    _draw_labels(label, arrays['label'][number], key)


def _winners(labels: np.ndarray, class_names: Any, cell: float) -> Key:
    """Marks of the classes that win somewhere, the one that wins most often first, and their key.

    cell: the width in inches that a mark has.
    """
    values, counts = np.unique(labels, return_counts=True)
    order = values[np.argsort(-counts, kind='stable')].tolist()
    names = {value: str(value if class_names is None else class_names[value]) for value in order}
    usual = order[0]
    others = {value: name for value, name in names.items() if value != usual}
    key = key_of(others, cell)
    pale = f'pale: {names[usual]}' + (' at every place' if not others else '')
    shown = all(width_of(mark, SMALLEST) <= cell for mark in key.marks.values())
    lines = key.lines if shown else [f'dark: {name}' for name in others.values()]
    return Key({usual: '', **(key.marks if shown else dict.fromkeys(others, ''))}, [pale, *lines])


def _draw_labels(axes: Any, labels: np.ndarray, key: Key) -> None:
    """The class that wins at each place: the usual one pale, others dark and marked."""
    usual = next(iter(key.marks))
    axes.imshow(labels != usual, cmap=drawing.diverging(), vmin=-1.4, vmax=1.4, aspect='auto')
    for (row, column), label in np.ndenumerate(labels):
        mark = key.marks[label]
        if mark:
            axes.text(column, row, mark, ha='center', va='center', fontsize=SMALLEST, color=drawing.PAPER)
