"""The figures of a report: each function returns a figure and the numbers in it."""

from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import BLUE, INK, ORANGE, Drawn
from cnn_jax.tasks.run import Run
from cnn_jax.visualize import filters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {'validation': ORANGE, 'test': INK}  # of the splits that are evaluated


def curve(run: Run, name: str, *, percent: bool) -> Drawn | None:
    """A metric over the steps, in training batches and on the images of the other splits; None if none was logged."""
    series = {split: _series(run, split, name) for split in ('train', *COLOURS)}
    if not any(len(steps) for steps, _ in series.values()):
        return None
    scale = 100 if percent else 1
    with drawing.style():
        figure = drawing.new_figure(4.6, 2.9)
        axes = figure.subplots()
        _draw_train(axes, series['train'][0], scale * series['train'][1])
        for split, colour in COLOURS.items():
            steps, values = series[split]
            if len(steps):
                axes.plot(steps, scale * values, 'o-', color=colour, markersize=3.5, label=f'{split} images')
        axes.grid(True, axis='y')
        axes.set_xlabel('step')
        axes.set_xlim(left=0)
        _scale(axes, series, percent)
        axes.legend(
            loc='lower left', bbox_to_anchor=(-0.02, 1), ncols=3, borderaxespad=0.2, handlelength=1.2, columnspacing=1.0
        )
    arrays = {
        f'{split}_{axis}': array
        for split, pair in series.items()
        for axis, array in zip(('step', name), pair, strict=True)
    }
    smooth = 'Faint: single batches; strong: their running mean.' if len(series['train'][0]) > 60 else ''
    return Drawn(figure, arrays, smooth)


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
        axes.plot(steps, values, '-' if len(steps) > 2 else 'o', color=BLUE, markersize=3.5, label='training batches')


def _scale(axes: 'Axes', series: dict[str, tuple[np.ndarray, np.ndarray]], percent: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    values = np.concatenate([pair[1] for pair in series.values()])
    if percent:  # from just below the first evaluations, so that the end can be read
        low = min(*(np.min(series[split][1], initial=1.0) for split in COLOURS), np.quantile(values, 0.1))
        axes.set_ylim(np.floor(low * 20) * 5 if low > 0.5 else 0, 101)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g} %'))
    elif values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale('log')
        axes.yaxis.set_major_locator(LogLocator(10, (1.0, 3.0), numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))


def filter_grid(run: Run, layer: str) -> Drawn:
    """The filters of a convolution."""
    arrays = filters.visualize(run.model, run.variables, layer=layer)
    return Drawn(filters.draw(arrays), arrays, filters.caption(arrays, layer))
