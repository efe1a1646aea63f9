"""A comparison in words, for the console."""

from collections.abc import Sequence
from typing import Any

from cnn_jax.compare.runs import CIRCUMSTANCES, SETTINGS, Trained, changed_places, differences
from cnn_jax.drawing.words import duration
from cnn_jax.statistics.metric import Metric
from cnn_jax.statistics.paired import RESAMPLES, Paired
from cnn_jax.statistics.significance import ALPHA, show_p

MOST_LISTED = 20  # images


def comparison(runs: Sequence[Trained], pairs: Sequence[tuple[Paired, float]]) -> str:
    """What differs in how the runs were made and in what they do; `pairs` are the others against the first, with the
    p-value corrected for their number.
    """
    parts = [
        _table('options that differ', [['', *names(runs)], *setting_rows(runs, SETTINGS)]),
        _table('versions and machine that differ', [['', *names(runs)], *setting_rows(runs, CIRCUMSTANCES)]),
        _table(f'on the {runs[0].split} split', [['', *names(runs)], *metric_rows(runs)]),
    ]
    for run, (pair, p) in zip(runs[1:], pairs, strict=True):
        parts.append(
            f'{run.name} against {runs[0].name}\n'
            + '\n'.join(f'  {line}' for line in sentences(pair, p, run.task.headline))
        )
        parts[-1] += '\n' + '\n'.join(f'  {line}' for line in changed(run, runs[0]))
    return '\n\n'.join(part for part in parts if part)


def names(runs: Sequence[Trained]) -> list[str]:
    return [run.name for run in runs]


def setting_rows(runs: Sequence[Trained], entries: Sequence[str]) -> list[list[str]]:
    """Name and the value of each run, where these differ."""
    return [[name, *map(_show, values)] for name, values in differences(runs, entries)]


def metric_rows(runs: Sequence[Trained]) -> list[list[str]]:
    """The metrics of each run, of its task."""
    tables = [run.task.table(run.evaluation, run.data) for run in runs]
    metrics = [[rows[0][0], *(value for _, value in rows)] for rows in zip(*tables, strict=True)]
    return [
        ['step', *(f'{run.step:,}' for run in runs)],
        *metrics,
        ['training time', *(duration(run.metrics[-1]['seconds']) if run.metrics else '-' for run in runs)],
    ]


def sentences(pair: Paired, p: float, metric: Metric) -> list[str]:
    """The paired numbers, and whether they are more than noise."""
    gain = metric.signed(pair.difference)
    verdict = 'within the noise of these images' if p > ALPHA else 'better' if gain > 0 else 'worse'
    difference, low, high = (metric.show(value, sign=True) for value in (pair.difference, pair.low, pair.high))
    unit = f' {metric.unit}' if metric.unit else ''
    lines = [f'{metric.title} {difference}{unit} (95 % interval {low} to {high}): {verdict}']
    if pair.both is None or pair.gained is None or pair.lost is None or pair.neither is None:
        lines.append(f'images drawn anew {RESAMPLES:,} times: p = {show_p(p)}')
    else:
        images = pair.both + pair.gained + pair.lost + pair.neither
        lines.append(
            f'{pair.gained} of {images} images gained, {pair.lost} lost, {pair.both} right in both, '
            f'{pair.neither} in neither; McNemar, exact: p = {show_p(p)}'
        )
    loss, low_loss, high_loss = pair.loss
    return [*lines, f'mean loss {loss:+.4f} (95 % interval {low_loss:+.4f} to {high_loss:+.4f})']


def changed(run: Trained, other: Trained) -> list[str]:
    """Which images one of two runs gets right and the other wrong."""
    lines = []
    for word, places in zip(('gained', 'lost'), changed_places(run, other), strict=True):
        rows = run.evaluation.results['index'][places]
        if len(rows):
            listed = ', '.join(run.named(rows[:MOST_LISTED].tolist()))
            more = f' and {len(rows) - MOST_LISTED} more' if len(rows) > MOST_LISTED else ''
            lines.append(f'{run.split} images {word}: {listed}{more}')
    return lines


def _table(title: str, rows: list[list[str]]) -> str:
    if len(rows) < 2:
        return f'{title}: none'
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return '\n'.join([title, *(f'  {line}' for line in lines)])


def _show(value: Any) -> str:
    return 'none' if value is None else ','.join(map(str, value)) if isinstance(value, list) else str(value)
