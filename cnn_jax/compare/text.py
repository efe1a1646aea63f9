"""A comparison in words, for the console."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.compare.runs import CIRCUMSTANCES, SETTINGS, Trained, differences
from cnn_jax.drawing.words import duration
from cnn_jax.statistics.paired import Paired
from cnn_jax.statistics.significance import ALPHA, show_p
from cnn_jax.tasks.classification.words import share

MOST_LISTED = 20  # images


def describe(runs: Sequence[Trained], pairs: Sequence[tuple[Paired, float]]) -> str:
    """What differs in how the runs were made and in what they do; `pairs` are the others against the first, with the
    p-value corrected for their number.
    """
    parts = [
        _table('options that differ', [['', *names(runs)], *setting_rows(runs, SETTINGS)]),
        _table('versions and machine that differ', [['', *names(runs)], *setting_rows(runs, CIRCUMSTANCES)]),
        _table('on the test split', [['', *names(runs)], *metric_rows(runs)]),
    ]
    for run, (pair, p) in zip(runs[1:], pairs, strict=True):
        parts.append(f'{run.name} against {runs[0].name}\n' + '\n'.join(f'  {line}' for line in sentences(pair, p)))
        parts[-1] += '\n' + '\n'.join(f'  {line}' for line in changed(run, runs[0]))
    return '\n\n'.join(part for part in parts if part)


def names(runs: Sequence[Trained]) -> list[str]:
    return [run.name for run in runs]


def setting_rows(runs: Sequence[Trained], entries: Sequence[str]) -> list[list[str]]:
    """Name and the value of each run, where these differ."""
    return [[name, *map(_show, values)] for name, values in differences(runs, entries)]


def metric_rows(runs: Sequence[Trained]) -> list[list[str]]:
    """Counts and means of each run."""
    ranks = [run.evaluation.results['rank'] for run in runs]
    top = min(5, len(runs[0].config.get('class_names') or [0] * 5))
    return [
        ['step', *(f'{run.step:,}' for run in runs)],
        ['top-1', *(share(int(np.sum(rank < 1)), len(rank)).strip() for rank in ranks)],
        [f'top-{top}', *(share(int(np.sum(rank < top)), len(rank)).strip() for rank in ranks)],
        ['mean loss', *(f'{run.evaluation.summary["loss"]:.4f}' for run in runs)],
        ['training time', *(duration(run.metrics[-1]['seconds']) if run.metrics else '-' for run in runs)],
    ]


def sentences(pair: Paired, p: float) -> list[str]:
    """The paired numbers, and whether they are more than noise."""
    verdict = 'within the noise of these images' if p > ALPHA else 'better' if pair.difference > 0 else 'worse'
    loss, low, high = pair.loss
    images = pair.both + pair.gained + pair.lost + pair.neither
    return [
        f'accuracy {100 * pair.difference:+.2f} points '
        f'(95 % interval {100 * pair.low:+.2f} to {100 * pair.high:+.2f}): {verdict}',
        f'{pair.gained} of {images} images gained, {pair.lost} lost, {pair.both} right in both, '
        f'{pair.neither} in neither; McNemar, exact: p = {show_p(p)}',
        f'mean loss {loss:+.4f} (95 % interval {low:+.4f} to {high:+.4f})',
    ]


def changed(run: Trained, other: Trained) -> list[str]:
    """Which test images one of two runs gets right and the other wrong."""
    lines = []
    for word, rows in (
        ('gained', run.evaluation.results['index'][run.right & ~other.right]),
        ('lost', run.evaluation.results['index'][~run.right & other.right]),
    ):
        if len(rows):
            listed = ', '.join(map(str, rows[:MOST_LISTED]))
            more = f' and {len(rows) - MOST_LISTED} more' if len(rows) > MOST_LISTED else ''
            lines.append(f'test images {word}: {listed}{more}')
    return lines


def _table(title: str, rows: list[list[str]]) -> str:
    if len(rows) < 2:
        return f'{title}: none'
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return '\n'.join([title, *(f'  {line}' for line in lines)])


def _show(value: Any) -> str:
    return 'none' if value is None else ','.join(map(str, value)) if isinstance(value, list) else str(value)
