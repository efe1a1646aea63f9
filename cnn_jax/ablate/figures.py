"""The figures of an ablation: differences with their intervals, every run's score, and curves."""

from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.ablate.score import WINDOW, Outcome
from cnn_jax.ablate.summary import Row, Summary
from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import BLUE, INK, MUTED, ORANGE, Drawn
from cnn_jax.statistics.metric import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 0.30  # inches
_MOST_PANELS = 24


def differences(summary: Summary) -> Drawn | None:
    """The difference of each cell to the baseline, a dot with its interval; None if nothing can be compared."""
    rows = [row for row in summary.rows if row.against is not None and row.against.n > 0]
    if not rows:
        return None
    metric, places = summary.metric, np.arange(len(rows))
    values = np.array([[r.against.difference, r.against.low, r.against.high] for r in rows if r.against]) * metric.scale
    colours = [_colour(row, summary) for row in rows]
    with drawing.style():
        figure = drawing.new_figure(*_size(rows, len(rows)))
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, linewidth=1)
        for place, (middle, low, high), colour in zip(places, values, colours, strict=True):
            axes.plot([low, high], [place, place], color=colour, linewidth=4, alpha=0.35, solid_capstyle='butt')
            axes.plot(middle, place, 'o', color=colour, markersize=6)
        _name_rows(axes, rows)
        axes.set_xlabel(f'difference to the baseline: {_axis_title(summary)}')
    better = 'right' if metric.higher_is_better else 'left'
    caption = (
        'Dots: mean difference of the runs with the same seed; bands: 95 % interval (Student). Better is to the '
        f'{better} of the line. Blue: better, orange: worse, grey: within the noise (permutation test, Holm).'
    )
    arrays = dict(zip(('difference', 'low', 'high'), values.T, strict=True))
    return Drawn(figure, {**arrays, 'cell': np.array([row.name for row in rows])}, caption)


def scores(summary: Summary) -> Drawn | None:
    """The score of every run, one row a cell, with the mean; None if no run has finished."""
    rows = [row for row in summary.rows if row.n]
    if not rows:
        return None
    metric = summary.metric
    with drawing.style():
        figure = drawing.new_figure(*_size(rows, len(rows)))
        axes = figure.subplots()
        for place, row in enumerate(rows):
            values = np.array(list(row.scores.values())) * metric.scale
            colour = _colour(row, summary)
            axes.plot(values, place + _spread(values), 'o', color=colour, markersize=5, alpha=0.55, markeredgewidth=0)
            axes.plot([values.mean()] * 2, [place - 0.32, place + 0.32], color=colour, linewidth=2)
        _name_rows(axes, rows)
        axes.set_xlabel(summary.metric.title)
    arrays = {f'scores_{number}': np.array(list(row.scores.values())) for number, row in enumerate(rows)}
    arrays['cell'] = np.array([row.name for row in rows])
    return Drawn(figure, arrays, 'Dots: one run each; equal ones stand above each other. Bars: their mean.')


def curves(summary: Summary) -> Drawn | None:
    """The headline metric over the steps: a panel for each cell, with the baseline behind it.

    It is that of the split that runs are compared on, or of the training batches where that is evaluated only in the
    end.
    """
    headline = summary.grid.task.headline
    names = [row.name for row in summary.rows][:_MOST_PANELS]
    found = {name: _curves(summary, name, headline) for name in names}
    found = {name: lines for name, lines in found.items() if lines}
    if not found:
        return None
    columns = 2 if len(found) in (2, 4) else min(3, len(found))
    lines = -(-len(found) // columns)
    with drawing.style():
        figure = drawing.new_figure(2.9 * columns, 0.5 + 2.0 * lines)
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        behind = found.get(summary.grid.baseline, [])
        for axes, (name, runs) in zip(grid.flat, found.items(), strict=False):
            _draw_curves(axes, behind if name != summary.grid.baseline else [], MUTED)
            _draw_curves(axes, runs, BLUE)
            axes.set_title(_wrapped(name), fontsize=8.5, color=INK)
            axes.grid(True, axis='y')
        for axes in list(grid.flat)[len(found) :]:
            axes.set_visible(False)
        for axes in list(grid.flat)[max(0, len(found) - columns) : len(found)]:
            axes.tick_params(labelbottom=True)  # of the lowest panel in each column
        if headline.unit == 'points':
            grid.flat[0].set_ylim(*_limits([values for runs in found.values() for _, values in runs]))
        figure.supxlabel('step', fontsize=9, color=MUTED)
        figure.supylabel(
            f'{_curve_split(summary)} {headline.title}' + ' in %' * (headline.unit == 'points'), fontsize=9, color=MUTED
        )
    arrays = {
        f'{axis}_{number}_{run}': array
        for number, runs in enumerate(found.values())
        for run, pair in enumerate(runs)
        for axis, array in zip(('step', headline.name), pair, strict=True)
    }
    caption = 'Thin: one run each; strong: their mean; grey: the baseline.'
    return Drawn(figure, {**arrays, 'cell': np.array(list(found))}, caption)


def _colour(row: Row, summary: Summary) -> str:
    return {'better': BLUE, 'worse': ORANGE, 'baseline': INK}.get(row.verdict(summary.metric), MUTED)


def _axis_title(summary: Summary) -> str:
    title = summary.metric.title
    return title.replace(', %', ' in points') if summary.metric.unit == 'points' else title


def _size(rows: list[Row], count: int) -> tuple[float, float]:
    longest = max(len(row.name) for row in rows)
    return 4.2 + 0.06 * min(longest, 60), 0.85 + _ROW * max(count, 2)


def _name_rows(axes: 'Axes', rows: list[Row]) -> None:
    axes.set_yticks(np.arange(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis='y', labelcolor=INK)
    axes.grid(True, axis='x')
    axes.spines['left'].set_visible(False)
    axes.locator_params(axis='x', nbins=7)


def _spread(values: np.ndarray) -> np.ndarray:
    """Small steps downwards for values that are equal, so that each dot is seen."""
    seen: dict[float, int] = {}
    shifts = []
    for value in np.round(values, 9):
        seen[value] = seen.get(value, -1) + 1
        shifts.append(seen[value])
    counts = np.array([seen[value] for value in np.round(values, 9)])
    return 0.14 * (np.array(shifts) - counts / 2)


def _curve_split(summary: Summary) -> str:
    task, split = summary.grid.task, summary.grid.split
    if task.headline.name not in [metric.name for metric in task.batch_metrics]:
        return split
    finished = [run for run in summary.outcomes.values() if run.state == 'finished']
    tested = [sum(line['split'] == split for line in run.lines) for run in finished]
    return split if tested and min(tested) > 2 else 'training'


def _curves(summary: Summary, name: str, metric: Metric) -> list[tuple[np.ndarray, np.ndarray]]:
    runs = [run for (cell, _), run in summary.outcomes.items() if cell == name and run.state == 'finished']
    found = [_curve(run, _curve_split(summary), metric) for run in runs]
    return [pair for pair in found if len(pair[0])]


def _curve(run: Outcome, split: str, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values in the metric's unit; of training batches the running mean."""
    lines = [line for line in run.lines if line['split'] == ('train' if split == 'training' else split)]
    lines = [line for line in lines if line.get(metric.name) is not None]
    steps = np.array([line['step'] for line in lines])
    values = metric.scale * np.array([line[metric.name] for line in lines], float)
    window = min(WINDOW, len(values))
    if split != 'training' or window < 2:
        return steps, values
    return steps[window - 1 :], np.convolve(values, np.full(window, 1 / window), 'valid')


def _draw_curves(axes: 'Axes', runs: list[tuple[np.ndarray, np.ndarray]], colour: str) -> None:
    for steps, values in runs:
        axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.35)
    if runs and len({len(steps) for steps, _ in runs}) == 1:
        axes.plot(runs[0][0], np.mean([values for _, values in runs], axis=0), color=colour, linewidth=1.6)


def _limits(values: list[np.ndarray]) -> tuple[float, float]:
    """From just below what most of the curves show, so that their ends can be told apart."""
    low = float(np.quantile(np.concatenate(values), 0.15))
    return (max(0.0, np.floor(low / 5) * 5 - 5) if low > 30 else 0.0), 101.0


def _wrapped(name: str) -> str:
    return name.replace(',', '\n')
