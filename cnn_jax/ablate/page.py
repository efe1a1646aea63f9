"""The page of an ablation: verdicts, tables, figures, the command that repeats it; one file that opens from disk."""

import shlex
import time
from html import escape
from pathlib import Path
from typing import Any

from cnn_jax.ablate import figures, table
from cnn_jax.ablate.summary import Summary
from cnn_jax.drawing.figure import Drawn
from cnn_jax.drawing.page import cards, figure_html, html_table, put_page, section
from cnn_jax.drawing.words import duration


def write_page(summary: Summary, folder: Path) -> Path:
    """Writes `report/index.html` below the grid's folder, and the figures with their numbers into `figures/`."""
    sections = [
        _cards(summary),
        _claims(summary),
        _figure(
            'Differences', 'differences', 'Difference to the baseline', figures.differences(summary), summary, folder
        ),
        _table_section(summary),
        _figure('Runs', 'scores', 'Every run', figures.scores(summary), summary, folder),
        _figure('Learning curves', 'curves', 'Accuracy over the steps', figures.curves(summary), summary, folder),
        _settings(summary),
    ]
    return put_page(
        folder,
        title=f'{summary.grid.experiment}: ablation',
        kind=f'Ablation · {time.strftime("%Y-%m-%d %H:%M")}',
        heading=summary.grid.experiment,
        result=result(summary),
        sections=sections,
        footer=f'The tables are table.txt, .csv, .md and .tex in {folder.name}; the figures are in its folder figures.',
    )


def result(summary: Summary) -> str:
    """The outcome in one or two sentences."""
    verdicts = [row.verdict(summary.metric) for row in summary.rows[1:]]
    if not verdicts:
        return f'One cell, {summary.rows[0].n} runs.'
    named = {
        word: [row.name for row, verdict in zip(summary.rows[1:], verdicts, strict=True) if verdict == word]
        for word in ('better', 'worse')
    }
    parts = [
        f'{", ".join(names)} {"is" if len(names) == 1 else "are"} {word}' for word, names in named.items() if names
    ]
    noise = sum(verdict == 'within the noise' for verdict in verdicts)
    if noise:
        parts.append('every difference is within the noise' if noise == len(verdicts) else f'{noise} within the noise')
    text = f'Against {summary.grid.baseline}: {"; ".join(parts) or "nothing to compare yet"}.'
    return ' '.join([text, *(f'{note[0].upper()}{note[1:]}.' for note in summary.notes())])


def _cards(summary: Summary) -> str:
    """The numbers of the grid as a whole."""
    seconds = sum(
        run.seconds for run in summary.outcomes.values() if run.state in ('finished', 'diverged') and run.lines
    )
    done = sum(run.state == 'finished' for run in summary.outcomes.values())
    baseline, metric = summary.rows[0], summary.metric
    rows = [
        ('Baseline', metric.show(baseline.mean), f'{metric.title}; sd {metric.show(baseline.deviation)}'),
        ('Cells', str(len(summary.rows)), f'{len(summary.grid.seeds)} seeds each'),
        ('Runs', str(done), f'of {len(summary.outcomes)} finished'),
        ('Training time', duration(seconds), 'of all runs together'),
    ]
    return cards(rows)


def _claims(summary: Summary) -> str:
    if not summary.claims:
        return ''
    note = (
        '"As published": the test finds the published sign. "Not resolved": the difference is within the noise of '
        'these runs, which are at desk size unless the settings say otherwise.'
    )
    rows = [table.claim_cells(claim) for claim in summary.claims]
    return section('What was published', note, html_table(table.CLAIM_HEADS, rows, numeric=table.NUMERIC))


def _table_section(summary: Summary) -> str:
    title = summary.metric.title
    note = f'{title[0].upper()}{title[1:]}; differences are to {summary.grid.baseline}, between runs of the same seed.'
    rows = [table.cells_of(row, summary.metric) for row in summary.rows]
    return section('Cells', note, html_table(table.HEADS, rows, numeric=table.NUMERIC))


def _figure(heading: str, name: str, title: str, drawn: Drawn | None, summary: Summary, folder: Path) -> str:
    """A section with one figure; '' where there was nothing to draw."""
    if drawn is None:
        return ''
    shown = figure_html(folder, name, title, drawn, _record(summary))
    return section(heading, '', f'<div class="wide">{shown}</div>')


def _record(summary: Summary) -> dict[str, Any]:
    grid = summary.grid
    return {
        'experiment': grid.experiment,
        'options': dict(grid.options),
        'vary': dict(grid.vary),
        'seeds': list(grid.seeds),
        'metric': grid.metric,
    }


def _settings(summary: Summary) -> str:
    return section('Settings', 'This command repeats the ablation:', f'<pre>{escape(command(summary))}</pre>')


def command(summary: Summary) -> str:
    """The command line that repeats a grid, one flag a line."""
    grid = summary.grid
    parts = ['python -m cnn_jax.main --mode=ablate', f'--experiment={grid.experiment}']
    parts += [f'--config.{name}={_typed(value)}' for name, value in grid.options.items()]
    parts += [f'--vary.{name}={",".join(map(_typed, values))}' for name, values in grid.vary.items()]
    parts += [f'--seed={grid.seeds[0]}', f'--seeds={len(grid.seeds)}', f'--metric={grid.metric}']
    return ' \\\n    '.join([parts[0], *map(shlex.quote, parts[1:])])


def _typed(value: Any) -> str:
    return f'({",".join(map(str, value))})' if isinstance(value, tuple) else str(value)
