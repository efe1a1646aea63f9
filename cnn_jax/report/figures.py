"""The figures of a report: each function returns a figure and the numbers in it."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnn_jax.report.run import Run, wilson_interval
from cnn_jax.visualize import figure as drawing
from cnn_jax.visualize import filters
from cnn_jax.visualize.figure import BLUE, INK, MUTED, ORANGE, PAPER, RULE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NUMBERED_CLASSES = 30  # cells of larger confusion matrices have no numbers
_MOST_LISTED_CLASSES = 30


class Drawn(NamedTuple):
    """A figure, the numbers in it, and what it shows in words."""

    figure: 'Figure'
    arrays: dict[str, np.ndarray]
    caption: str


def curve(run: Run, name: str, *, percent: bool) -> Drawn | None:
    """A metric over the steps, in training batches and on the test images; None if neither was logged."""
    series = {split: _series(run, split, name) for split in ('train', 'test')}
    if not any(len(steps) for steps, _ in series.values()):
        return None
    scale = 100 if percent else 1
    with drawing.style():
        figure = drawing.new_figure(4.6, 2.9)
        axes = figure.subplots()
        _draw_train(axes, series['train'][0], scale * series['train'][1])
        steps, values = series['test']
        if len(steps):
            axes.plot(steps, scale * values, 'o-', color=ORANGE, markersize=3.5, label='test images')
        axes.grid(True)
        axes.set_xlabel('step')
        axes.set_xlim(left=0)
        _scale_y(axes, series, percent)
        axes.legend(loc='lower left', bbox_to_anchor=(-0.02, 1), ncols=2, borderaxespad=0.2, handlelength=1.4)
    arrays = {
        f'{split}_{axis}': array
        for split, pair in series.items()
        for axis, array in zip(('step', name), pair, strict=True)
    }
    smooth = ' Pale: single batches; dark: their running mean.' if len(series['train'][0]) > 60 else ''
    return Drawn(figure, arrays, smooth.strip())


def _series(run: Run, split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    lines = [line for line in run.metrics if line.get('split') == split and line.get(name) is not None]
    values = np.array([line[name] for line in lines], float)
    steps = np.array([line['step'] for line in lines], int)
    return steps[np.isfinite(values)], values[np.isfinite(values)]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and its neighbours, over at most `window` values; fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    reach = window // 2
    low, high = (np.clip(np.arange(len(values)) + shift, 0, len(values)) for shift in (-reach, reach + 1))
    return (sums[high] - sums[low]) / (high - low)


def _draw_train(axes: 'Axes', steps: np.ndarray, values: np.ndarray) -> None:
    if len(steps) > 60:
        axes.plot(steps, values, color=BLUE, alpha=0.25, linewidth=0.8)
        values = running_mean(values, len(values) // 25)
    if len(steps):
        axes.plot(steps, values, color=BLUE, label='training batches')


def _scale_y(axes: 'Axes', series: dict[str, tuple[np.ndarray, np.ndarray]], percent: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = np.concatenate([pair[1] for pair in series.values()])
    test = series['test'][1]
    if percent:  # from just below the first test values, so that the end can be read
        low = min(np.min(test, initial=1.0), np.quantile(values, 0.1))
        axes.set_ylim(np.floor(low * 20) * 5 if low > 0.5 else 0, 101)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g} %'))
    elif values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale('log')
        axes.yaxis.set_major_locator(LogLocator(10, (1.0, 3.0), numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))


def confusion(run: Run) -> Drawn | None:
    """True classes against predicted ones, as counts; None without results."""
    names = run.class_names
    if not len(run.right):
        return None
    cells = run.results['label'].astype(int) * len(names) + run.results['prediction']
    counts = np.bincount(cells, minlength=len(names) ** 2).reshape(len(names), len(names))
    wrong = counts * (1 - np.eye(len(names), dtype=int))
    right = np.diag(np.diag(counts) / np.maximum(counts.sum(1), 1))
    strength = 0.12 * (right > 0) + 0.78 * right**2
    wrong_strength = np.where(wrong > 0, 0.15 + 0.75 * wrong / max(wrong.max(), 1), 0.0)
    with drawing.style():
        side = 4.6 if len(names) <= 12 else 6.4
        figure = drawing.new_figure(side, side)
        axes = figure.subplots()
        axes.imshow(drawing.tint(strength, BLUE), interpolation='nearest')
        axes.imshow(drawing.tint(wrong_strength, ORANGE), interpolation='nearest')
        _name_axes(axes, names)
        if len(names) <= _MOST_NUMBERED_CLASSES:
            _number_cells(axes, counts, strength + wrong_strength)
    return Drawn(figure, {'counts': counts, 'class_names': np.array(names)}, '')


def _name_axes(axes: 'Axes', names: Sequence[str]) -> None:
    every = ceil(len(names) / 40)
    shown = range(0, len(names), every)
    labels = [shorten(names[number]) for number in shown]
    axes.set_xticks(list(shown), labels, rotation=90 if max(map(len, labels)) > 3 else 0)
    axes.set_yticks(list(shown), labels)
    axes.tick_params(length=0, labelsize=7 if len(names) > 15 else 9)
    axes.set_xlabel('predicted class')
    axes.set_ylabel('true class')
    for spine in axes.spines.values():
        spine.set_visible(False)
    if len(names) <= _MOST_NUMBERED_CLASSES:
        axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.grid(True, which='minor', axis='both')
        axes.tick_params(which='minor', length=0)


def shorten(text: str, length: int = 16) -> str:
    """The text, cut to `length` characters; '$' so that it is not read as a formula."""
    cut = text if len(text) <= length else text[: length - 1] + '…'
    return cut.replace('$', r'\$')


def _number_cells(axes: 'Axes', counts: np.ndarray, strength: np.ndarray) -> None:
    size = 9 if len(counts) <= 12 else 6
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = PAPER if strength[row, column] > 0.55 else INK
            axes.text(column, row, f'{count}', ha='center', va='center', color=color, fontsize=size)


def class_accuracy(run: Run) -> Drawn | None:
    """The accuracy of each class with its 95 % interval, the worst classes first if there are many."""
    names, right = run.class_names, run.right
    if not len(right):
        return None
    labels = run.results['label'].astype(int)
    images, hits = (np.bincount(labels[chosen], minlength=len(names)) for chosen in (slice(None), right))
    low, high = wilson_interval(hits, images)
    order = np.flatnonzero(images)
    listed = (
        order
        if len(order) <= _MOST_LISTED_CLASSES
        else order[np.argsort(hits[order] / images[order])][:_MOST_LISTED_CLASSES]
    )
    with drawing.style():
        figure = drawing.new_figure(4.6, 0.9 + 0.29 * len(listed) if len(listed) > 3 else 1.8)
        axes = figure.subplots()
        places = np.arange(len(listed))
        axes.hlines(places, 100 * low[listed], 100 * high[listed], color=BLUE, alpha=0.3, linewidth=5)
        axes.plot(100 * hits[listed] / images[listed], places, 'o', color=BLUE, markersize=5, clip_on=False)
        axes.set_yticks(places, [shorten(names[number]) for number in listed])
        axes.set_ylim(len(listed) - 0.5, -0.5)
        axes.set_xlim(np.floor(10 * low[listed].min()) * 10, 100)
        axes.grid(True, axis='x')
        axes.set_xlabel('accuracy in %')
        beside = axes.secondary_yaxis('right')
        beside.set_yticks(places, [f'{hits[number]} of {images[number]}' for number in listed])
        for spine in (axes.spines['left'], beside.spines['right']):
            spine.set_visible(False)
        beside.tick_params(length=0)
    caption = f'The {len(listed)} worst of {len(order)} classes. ' if len(listed) < len(order) else ''
    arrays = {'right': hits, 'images': images, 'low': low, 'high': high, 'class_names': np.array(names)}
    return Drawn(figure, arrays, caption)


def filter_grid(run: Run, layer: str) -> Drawn:
    """The filters of a convolution."""
    arrays = filters.visualize(run.model, run.variables, layer=layer)
    return Drawn(filters.draw(arrays, width=6.4), arrays, filters.caption(arrays, layer))


def mistake_grid(run: Run) -> np.ndarray:
    """The misread images side by side, uint8, enlarged to be seen; the order is that of `run.mistakes`."""
    images = run.images if run.images.shape[-1] == 3 else run.images[..., :1].repeat(3, axis=-1)
    grid = filters.tile(images.astype(np.float32), columns=10, gap=2)
    factor = max(1, 96 // images.shape[1])
    return np.nan_to_num(grid, nan=255).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
