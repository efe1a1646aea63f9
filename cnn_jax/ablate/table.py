"""The table of an ablation: as text, CSV, Markdown and LaTeX."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_jax.ablate.score import Metric
from cnn_jax.ablate.summary import Judged, Row, Summary
from cnn_jax.drawing.words import duration
from cnn_jax.files.cells import marked
from cnn_jax.files.whole import write_whole
from cnn_jax.statistics.significance import show_p

HEADS = ('cell', 'mean', 'sd', 'n', 'difference', '95 % interval', 'p (Holm)', 'verdict', 'time', 'parameters', 'MACs')
CLAIM_HEADS = ('comparison', 'metric', 'published', 'measured', '95 % interval', 'p (Holm)', 'verdict')
NUMERIC = {'mean', 'sd', 'n', 'difference', '95 % interval', 'p (Holm)', 'time', 'parameters', 'MACs', 'measured'}


def cells_of(row: Row, metric: Metric) -> list[str]:
    """A row as texts, in the order of HEADS."""
    against = row.against
    difference = (
        ['', '', ''] if against is None else [*_difference(metric, against.difference, against.low, against.high)]
    )
    if against is not None:
        difference.append(show_p(row.p))
    return [
        row.name,
        metric.show(row.mean),
        metric.show(row.deviation),
        f'{row.n}' + (f' of {row.n + row.missing + row.diverged}' if row.missing or row.diverged else ''),
        *difference,
        row.verdict(metric),
        duration(row.seconds),
        f'{row.parameters:,}',
        f'{row.macs:,}',
    ]


def claim_cells(judged: Judged) -> list[str]:
    """A published claim as texts, in the order of CLAIM_HEADS."""
    measured = judged.measured
    difference, interval = _difference(judged.metric, measured.difference, measured.low, measured.high)
    return [
        claim_text(judged),
        judged.metric.title,
        judged.claim.published,
        difference,
        interval,
        show_p(judged.p),
        judged.verdict,
    ]


def claim_text(judged: Judged) -> str:
    """'depth=56 worse than depth=20'"""
    claim = judged.claim
    cell, against = (
        ', '.join(f'{name}={value}' for name, value in side.items()) for side in (claim.cell, claim.against)
    )
    return f'{cell} {claim.sign} than {against}'


def _difference(metric: Metric, difference: float, low: float, high: float) -> tuple[str, str]:
    known = np.isfinite(low) and low < high  # of differences that are all the same nobody knows the spread
    interval = f'{metric.show(low, sign=True)} to {metric.show(high, sign=True)}' if known else '-'
    return metric.show(difference, sign=True), interval


def as_text(summary: Summary, width: int | None = None) -> str:
    """For a console."""
    from rich.console import Console
    from rich.table import Table

    def render(title: str, heads: Sequence[str], rows: list[list[str]]) -> str:
        table = Table(title=title, title_justify='left', box=None, pad_edge=False, header_style='')
        for place, head in enumerate(heads):
            table.add_column(head, justify='right' if head in NUMERIC else 'left', overflow='fold', no_wrap=place > 1)
        for cells in rows:
            table.add_row(*[cell.replace('[', r'\[') for cell in cells])
        console = Console(file=io.StringIO(), width=width or _width(heads, rows), color_system=None)
        console.print(table)
        return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]

    parts = [render(_title(summary), HEADS, [cells_of(row, summary.metric) for row in summary.rows])]
    if summary.claims:
        parts.append(render('what was published', CLAIM_HEADS, [claim_cells(claim) for claim in summary.claims]))
    return '\n\n'.join([*parts, *summary.notes()])


def _width(heads: Sequence[str], rows: list[list[str]]) -> int:
    return sum(max(len(cells[place]) for cells in [heads, *rows]) + 2 for place in range(len(heads)))


def _title(summary: Summary) -> str:
    return f'{summary.grid.experiment}: {summary.metric.title}; differences to {summary.grid.baseline}'


def as_csv(summary: Summary) -> str:
    """For programs: full precision, one line a cell; accuracies are fractions."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    columns = ['cell', *summary.grid.vary, 'metric', 'mean', 'sd', 'n', 'difference', 'low', 'high', 'p', 'p_holm']
    writer.writerow([*columns, 'verdict', 'seconds', 'parameters', 'macs', 'missing', 'diverged'])
    for row, values in zip(summary.rows, summary.grid.variants.values(), strict=True):
        against = row.against
        compared = ['', '', '', '', '']
        if against is not None:
            compared = [against.difference, against.low, against.high, against.p, row.p]
        line = [row.name, *values.values(), summary.metric.name, row.mean, row.deviation, row.n, *compared]
        line += [row.verdict(summary.metric), row.seconds, row.parameters, row.macs, row.missing, row.diverged]
        writer.writerow(map(marked, line))
    return buffer.getvalue()


def as_markdown(summary: Summary) -> str:
    """For a README."""
    parts = [_markdown(HEADS, [cells_of(row, summary.metric) for row in summary.rows])]
    if summary.claims:
        parts.append(_markdown(CLAIM_HEADS, [claim_cells(claim) for claim in summary.claims]))
    return '\n\n'.join([_title(summary) + '.', *parts, *(f'{note}.' for note in summary.notes())]) + '\n'


def _markdown(heads: Sequence[str], rows: list[list[str]]) -> str:
    rule = ['---:' if head in NUMERIC else '---' for head in heads]
    lines = [heads, rule, *[[cell.replace('|', r'\|') for cell in cells] for cells in rows]]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def as_latex(summary: Summary) -> str:
    """For a paper: a `tabular` that needs no package."""
    columns = ''.join('r' if head in NUMERIC else 'l' for head in HEADS)
    rows = [' & '.join(map(_latex, cells_of(row, summary.metric))) for row in summary.rows]
    head = ' & '.join(map(_latex, HEADS))
    lines = [rf'\begin{{tabular}}{{{columns}}}', r'\hline', rf'{head} \\', r'\hline', *[rf'{row} \\' for row in rows]]
    notes = [f'% {note}' for note in (_title(summary), *summary.notes())]
    return '\n'.join([*notes, *lines, r'\hline', r'\end{tabular}']) + '\n'


def _latex(text: str) -> str:
    text = re.sub(r'([&%$#_{}])', r'\\\1', text.replace('\\', r'\textbackslash '))
    text = text.replace('<', '$<$')
    return re.sub(r'(?<![\w.])-(?=\d)', r'$-$', text)


def write_tables(summary: Summary, folder: Path) -> None:
    """Writes `table.txt`, `table.csv`, `table.md` and `table.tex`."""
    written = {
        'txt': as_text(summary) + '\n',
        'csv': as_csv(summary),
        'md': as_markdown(summary),
        'tex': as_latex(summary),
    }
    for ending, text in written.items():
        write_whole(folder / f'table.{ending}', text)
