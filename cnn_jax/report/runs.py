"""The list of the runs below a folder, on a page of its own: what each was, what differs, and what came of it."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cnn_jax.drawing.page import page_path, put_page
from cnn_jax.report import side_by_side, tables, web
from cnn_jax.report.listed import Listed, differing, headline, known_metrics, metric_of, text_of, value_text
from cnn_jax.statistics.metric import Metric

SPARK_WIDTH, SPARK_HEIGHT, MOST_POINTS = 120, 28, 60  # pixels of a small curve, and its points


def write_index(folder: Path, listed: Sequence[Listed]) -> Path:
    """Writes `report/index.html` of a folder of runs, of several also the page of two of them; the path of the first.

    Raises:
        OSError: the page cannot be written.
    """
    listed = sorted(listed, key=lambda run: str(run.config.get('started', '')), reverse=True)
    metrics = known_metrics()
    if len(listed) > 1:
        side_by_side.write_page(folder, listed, metrics)
    return put_page(
        folder,
        title=f'{folder.resolve().name}: {len(listed)} runs',
        kind='Runs',
        heading=folder.resolve().name,
        result=_summary(listed),
        sections=[_choice(listed), _table(folder, listed, metrics), web.of_the_list()],
        footer='A click on the head of a column sorts by it. Written by --mode=report.',
    )


def _summary(listed: Sequence[Listed]) -> str:
    names = sorted({tables.short_name(run.config, run.path) for run in listed})
    shown = ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
    return f'{len(listed)} {"run" if len(listed) == 1 else "runs"} of {shown}, the newest first.'


def _choice(listed: Sequence[Listed]) -> str:
    """The way to two runs side by side; '' where there is one alone."""
    if len(listed) < 2:
        return ''
    words = 'Choose two runs by their boxes, then '
    return f'<p class="note">{words}<a class="compare" href="{side_by_side.FILE}">see them side by side</a>.</p>'


def _table(folder: Path, listed: Sequence[Listed], metrics: Mapping[str, Metric]) -> str:
    differ, plain = differing(listed), ('Curve', 'Choose')
    heads = ['Started', 'Experiment', 'Options that differ', 'Result', 'Curve', 'Steps', 'Run']
    heads += ['Choose'] if len(listed) > 1 else []
    numeric = {'Result', 'Steps'}
    head = ''.join(
        f'<th scope="col"{" class=number" if name in numeric else ""}>'
        + (name if name in plain else f'<button type="button">{name}</button>')
        + '</th>'
        for name in heads
    )
    last = [_choose(folder, run) if len(listed) > 1 else '' for run in listed]
    rows = ''.join(_row(folder, run, own, metrics, end) for run, own, end in zip(listed, differ, last, strict=True))
    return f'<div class="scroll"><table class="runs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(folder: Path, run: Listed, own: Mapping[str, Any], metrics: Mapping[str, Metric], end: str) -> str:
    found, steps = headline(run), max((line['step'] for line in run.metrics), default=0)
    options = ' '.join(f'<code>{escape(f"{name}={text_of(value)}")}</code>' for name, value in own.items()) or '-'
    return (
        f'<tr><th scope="row">{escape(str(run.config.get("started", "-")))}</th>'
        f'<td>{escape(tables.short_name(run.config, run.path))}</td><td class="options">{options}</td>'
        f'{_result_cell(found, metrics)}<td>{_sparkline(run, found)}</td>'
        f'<td class="number" data-value="{steps}">{steps:,}</td><td>{_link(folder, run.path)}</td>{end}</tr>'
    )


def _result_cell(found: tuple[str, str, float] | None, metrics: Mapping[str, Metric]) -> str:
    if found is None:
        return '<td class="number">not evaluated</td>'
    split, name, value = found
    metric = metric_of(name, metrics)
    words = value_text(value, metric)
    return (
        f'<td class="number" data-value="{value!r}">{words}<br>'
        f'<span class="more">{escape(f"{split} {metric.title}")}</span></td>'
    )


def _sparkline(run: Listed, found: tuple[str, str, float] | None) -> str:
    """The headline over the steps as a small curve, on the images held out, else in training batches."""
    name = found[1] if found else 'loss'
    for split in ('validation', 'test', 'train'):
        points = [
            (line['step'], line[name]) for line in run.metrics if line['split'] == split and line.get(name) is not None
        ]
        if len(points) > 1:
            break
    else:
        return '-'
    points = points[:: -(-len(points) // MOST_POINTS)]
    (left, right), values = (points[0][0], points[-1][0]), [value for _, value in points]
    low, span = min(values), (max(values) - min(values)) or 1
    places = ' '.join(
        f'{1 + (SPARK_WIDTH - 2) * (step - left) / max(1, right - left):.1f},'
        f'{SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * (value - low) / span:.1f}'
        for step, value in points
    )
    label = escape(f'{split} {name} from {values[0]:.4g} to {values[-1]:.4g}, steps {left} to {right}')
    return (
        f'<svg class="spark" role="img" aria-label="{label}" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" '
        f'width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}"><title>{label}</title>'
        f'<polyline points="{places}" fill="none" stroke="var(--blue)" stroke-width="1.6"/></svg>'
    )


def _link(folder: Path, run: Path) -> str:
    """The run's name, as a link to its page where it has one."""
    name, page = run.relative_to(folder).as_posix(), page_path(run)
    if not page.exists():
        return f'{escape(name)}<br><span class="more">no page yet</span>'
    return f'<a href="../{quote(page.relative_to(folder).as_posix())}">{escape(name)}</a>'


def _choose(folder: Path, run: Listed) -> str:
    name = escape(run.path.relative_to(folder).as_posix())
    return f'<td><input type="checkbox" value="{name}" aria-label="choose {name}"></td>'
