"""The page of an ablation: verdicts, tables, figures, the command that repeats it; one file that opens from disk."""

import shlex
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from cnn_jax import report
from cnn_jax.ablate import figures, table
from cnn_jax.ablate.figures import Drawn
from cnn_jax.ablate.summary import Summary
from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.words import duration
from cnn_jax.whole_file import write_whole

_TEMPLATE = Path(report.__file__).parent


def write_page(summary: Summary, folder: Path) -> Path:
    """Writes `report/index.html` below the grid's folder, and the figures with their numbers into `figures/`."""
    sections = [
        cards(summary),
        _claims(summary),
        _figure_section(
            'Differences',
            [('differences', 'Difference to the baseline', figures.differences(summary))],
            summary,
            folder,
        ),
        _table_section(summary),
        _figure_section('Runs', [('scores', 'Every run', figures.scores(summary))], summary, folder),
        _figure_section(
            'Learning curves', [('curves', 'Accuracy over the steps', figures.curves(summary))], summary, folder
        ),
        _settings(summary),
    ]
    return put_page(
        folder,
        title=f'{summary.grid.experiment}: ablation',
        kind=f'Ablation · {time.strftime("%Y-%m-%d %H:%M")}',
        heading=summary.grid.experiment,
        result=result(summary),
        sections='\n'.join(section for section in sections if section),
        footer=f'The tables are table.txt, .csv, .md and .tex in {folder.name}; the figures are in its folder figures.',
    )


def put_page(folder: Path, *, sections: str, **texts: str) -> Path:
    """Writes a page of the report's form in one move; `sections` is HTML, the rest is text."""
    template = Template((_TEMPLATE / 'page.html').read_text(encoding='utf-8'))
    style = (_TEMPLATE / 'style.css').read_text(encoding='utf-8')
    escaped = {name: escape(text) for name, text in texts.items()}
    path = folder / 'report' / 'index.html'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, template.substitute(escaped, sections=sections, style=style))
    return path


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


def cards(summary: Summary) -> str:
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
    cells = [
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd><dd class="more">{escape(more)}</dd></div>'
        for name, value, more in rows
    ]
    return f'<dl class="cards">{"".join(cells)}</dl>'


def _claims(summary: Summary) -> str:
    if not summary.claims:
        return ''
    note = (
        '"As published": the test finds the published sign. "Not resolved": the difference is within the noise of '
        'these runs, which are at desk size unless the settings say otherwise.'
    )
    body = html_table(table.CLAIM_HEADS, [table.claim_cells(claim) for claim in summary.claims])
    return f'<section><h2>What was published</h2><p class="note">{escape(note)}</p>{body}</section>'


def _table_section(summary: Summary) -> str:
    title = summary.metric.title
    note = f'{title[0].upper()}{title[1:]}; differences are to {summary.grid.baseline}, between runs of the same seed.'
    body = html_table(table.HEADS, [table.cells_of(row, summary.metric) for row in summary.rows])
    return f'<section><h2>Cells</h2><p class="note">{escape(note)}</p>{body}</section>'


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Texts as an HTML table; the first of each row names it."""

    def kind(head: str) -> str:
        return ' class="number"' if head in table.NUMERIC else ''

    head = ''.join(f'<th scope="col"{kind(name)}>{escape(name)}</th>' for name in heads)
    lines = [
        f'<tr><th scope="row">{escape(cells[0])}</th>'
        + ''.join(f'<td{kind(name)}>{escape(cell)}</td>' for name, cell in zip(heads[1:], cells[1:], strict=True))
        + '</tr>'
        for cells in rows
    ]
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _figure_section(title: str, drawn: list[tuple[str, str, Drawn | None]], summary: Summary, folder: Path) -> str:
    shown = [figure_html(folder, name, caption, figure, _record(summary)) for name, caption, figure in drawn if figure]
    return f'<section><h2>{escape(title)}</h2><div class="wide">{"".join(shown)}</div></section>' if shown else ''


def figure_html(folder: Path, name: str, title: str, drawn: Drawn, settings: dict[str, Any]) -> str:
    """Saves a figure with its numbers, and returns it for the page."""
    drawing.save_figure(drawn.figure, folder / 'figures', name, drawn.arrays, {'figure': name, **settings})
    svg = drawing.as_svg(drawn.figure).replace('<svg ', f'<svg aria-label="{escape(title)}" ', 1)
    return f'<figure><h3>{escape(title)}</h3>{svg}<figcaption>{escape(drawn.caption)}</figcaption></figure>'


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
    return (
        '<section><h2>Settings</h2><p class="note">This command repeats the ablation:</p>'
        f'<pre>{escape(command(summary))}</pre></section>'
    )


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
