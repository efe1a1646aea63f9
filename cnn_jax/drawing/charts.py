"""Charts that several tasks share: a value for each class, lines over an axis, and counts of kinds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import BLUE, INK, MUTED, ORANGE, Drawn
from cnn_jax.drawing.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, ORANGE, INK)  # of series: three at most
MOST = 40  # classes that are drawn; of more the worst
NAME_INCHES, NAME_POINTS = 1.5, 9


def by_class(names: Sequence[str], series: Mapping[str, np.ndarray], *, label: str) -> Drawn:
    """Values 0 .. 1 of each class as dots, in %: one colour for each series, the classes in their order.

    Args:
        names: of the classes.
        series: (classes,) each, NaN where there is none; the worst classes by the first, where they are many.
        label: of the axis.
    """
    first = next(iter(series.values()))
    order = np.argsort(np.nan_to_num(first, nan=np.inf), kind='stable')
    listed = np.arange(len(names)) if len(names) <= MOST else order[:MOST]
    places = np.arange(len(listed))
    with drawing.style():
        figure = drawing.new_figure(4.6, max(1.6, 1.0 + 0.24 * len(listed)))
        axes = figure.subplots()
        for (title, values), colour in zip(series.items(), COLOURS[: len(series)], strict=True):
            axes.plot(100 * values[listed], places, 'o', color=colour, markersize=5, label=title, clip_on=False)
        for place in places[np.isnan(first[listed])].tolist():
            axes.text(50, place, 'not there', ha='center', va='center', color=MUTED)
        axes.set_yticks(places, [shortened(names[number], NAME_INCHES, NAME_POINTS) for number in listed.tolist()])
        axes.set_ylim(len(listed) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.grid(True, axis='both')
        axes.set_xlabel(label)
        axes.spines['left'].set_visible(False)
        if len(series) > 1:
            _legend(axes)
    caption = f'The {len(listed)} worst of {len(names):,} classes.' if len(listed) < len(names) else ''
    arrays = {_key(title): one for title, one in series.items()}
    return Drawn(figure, {'class_names': np.array(names), **arrays}, caption)


def lines(
    x: np.ndarray, means: Mapping[str, np.ndarray], *, axes_labels: tuple[str, str], thin: np.ndarray | None = None
) -> Drawn:
    """Lines of values 0 .. 1, in %, over an axis; `thin` (lines, points): those of which a mean is one.

    Args:
        x: (points,), as it is drawn.
        means: (points,) each, by its title.
        axes_labels: below, and beside.
    """
    with drawing.style():
        figure = drawing.new_figure(4.6, 3.2)
        axes = figure.subplots()
        for one in () if thin is None else thin:
            axes.plot(x, 100 * one, color=MUTED, alpha=0.35, linewidth=0.8)
        for (title, values), colour in zip(means.items(), COLOURS[: len(means)], strict=True):
            axes.plot(x, 100 * values, color=colour, label=title, linewidth=2)
        axes.set_xlim(float(x.min()), float(x.max()))
        axes.set_ylim(0, 102)
        axes.grid(True, axis='y')
        axes.set_xlabel(axes_labels[0])
        axes.set_ylabel(axes_labels[1])
        _legend(axes)
    arrays = {'x': x, **{_key(title): one for title, one in means.items()}}
    return Drawn(figure, arrays | ({} if thin is None else {'each': thin}), '')


def counts(kinds: Mapping[str, int], *, label: str) -> Drawn:
    """Counts of kinds as bars with their numbers; the first kind, which is right, in another colour."""
    places, values = np.arange(len(kinds)), np.array(list(kinds.values()))
    with drawing.style():
        figure = drawing.new_figure(4.6, 0.8 + 0.3 * len(kinds))
        axes = figure.subplots()
        bars = axes.barh(places, values, color=[BLUE] + [ORANGE] * (len(kinds) - 1), height=0.6)
        axes.bar_label(bars, [f'{value:,}' for value in values], padding=3, color=INK, fontsize=9)
        axes.set_yticks(places, list(kinds))
        axes.set_ylim(len(kinds) - 0.5, -0.5)
        axes.set_xlim(0, 1.15 * max(1, values.max(initial=0)))
        axes.set_xlabel(label)
        axes.spines['left'].set_visible(False)
        axes.locator_params(axis='x', integer=True)
    return Drawn(figure, {_key(kind): np.array(count) for kind, count in kinds.items()}, '')


def sorted_values(values: np.ndarray, *, label: str) -> Drawn:
    """A value of each image as a bar, the largest first; those below 0 in another colour.

    values: (images,); what is no finite number is left out, and the caption says how many that are.
    """
    finite = np.sort(values[np.isfinite(values)])[::-1]
    with drawing.style():
        figure = drawing.new_figure(4.6, 3.0)
        axes = figure.subplots()
        axes.bar(np.arange(1, len(finite) + 1), finite, color=[BLUE if one >= 0 else ORANGE for one in finite])
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.grid(True, axis='y')
        axes.set_xlabel('test images, the largest value first')
        axes.set_ylabel(label)
        axes.locator_params(axis='x', integer=True)
    missing = len(values) - len(finite)
    return Drawn(figure, {'values': values}, f'{missing:,} without a finite value are left out.' if missing else '')


def _legend(axes: 'Axes') -> None:
    axes.legend(loc='lower left', bbox_to_anchor=(-0.02, 1), ncols=3, borderaxespad=0.2, handlelength=1.2)


def _key(title: str) -> str:
    """A title as the name of an array."""
    return ''.join(letter if letter.isalnum() else '_' for letter in title)
