"""The list of the runs below a folder, on a page of its own: what each was, what differs, and what came of it."""

import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax import tasks
from cnn_jax.drawing.page import page_path, put_page
from cnn_jax.statistics.metric import Metric
from cnn_jax.tasks.task import Task

WORDS = frozenset(('step', 'seconds', 'split'))  # of a line of the metrics: what is no value
JUDGED = ('test', 'validation')  # splits by which a run is judged, the first that was looked at
SPARK_WIDTH, SPARK_HEIGHT, MOST_POINTS = 120, 28, 60  # pixels of a small curve, and its points
_WEB = Path(__file__).parent / 'web'


class Listed(NamedTuple):
    """A run in the list: its folder, and what stands in its `config.json` and `metrics.jsonl`."""

    path: Path
    config: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]


def write_index(folder: Path, listed: Sequence[Listed]) -> Path:
    """Writes `report/index.html` of a folder of runs, and returns its path.

    Raises:
        OSError: the page cannot be written.
    """
    listed = sorted(listed, key=lambda run: str(run.config.get('started', '')), reverse=True)
    return put_page(
        folder,
        title=f'{folder.resolve().name}: {len(listed)} runs',
        kind='Runs',
        heading=folder.resolve().name,
        result=_summary(listed),
        sections=[_table(folder, listed), f'<script>\n{(_WEB / "sort.js").read_text(encoding="utf-8")}</script>'],
        footer='A click on the head of a column sorts by it. Written by --mode=report.',
    )


def _summary(listed: Sequence[Listed]) -> str:
    names = sorted({str(run.config['experiment']) for run in listed})
    shown = ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
    return f'{len(listed)} {"run" if len(listed) == 1 else "runs"} of {shown}, the newest first.'


def differing(listed: Sequence[Listed]) -> list[dict[str, Any]]:
    """For each run its seed and options that are not the same in all listed runs of its experiment."""
    settings = [_settings(run) for run in listed]
    known: dict[str, set[str]] = {}
    for run, own in zip(listed, settings, strict=True):
        known.setdefault(run.config['experiment'], set()).update(own)
    values: dict[tuple[str, str], set[str]] = {}
    for run, own in zip(listed, settings, strict=True):
        for name in known[run.config['experiment']]:  # an older run may not know an option at all
            said = json.dumps(own[name], sort_keys=True) if name in own else ''
            values.setdefault((run.config['experiment'], name), set()).add(said)
    return [
        {name: value for name, value in own.items() if len(values[run.config['experiment'], name]) > 1}
        for run, own in zip(listed, settings, strict=True)
    ]


def _settings(run: Listed) -> dict[str, Any]:
    return {**run.config['options'], **{name: run.config[name] for name in ('seed', 'fold') if name in run.config}}


def headline(run: Listed) -> tuple[str, str, float] | None:
    """The split, the name and the last value of the metric that a run is judged by; None before its first evaluation.

    A summary has the headline of its task first, and the log keeps that order.
    """
    for split in JUDGED:
        lines = [line for line in run.metrics if line['split'] == split]
        names = [name for name in lines[-1] if name not in WORDS] if lines else []
        if names and lines[-1][names[0]] is not None:
            return split, names[0], float(lines[-1][names[0]])
    return None


def known_metrics() -> dict[str, Metric]:
    """The metrics of all tasks, by name; where tasks share one, with its shortest title, which is the general one."""
    for module in pkgutil.iter_modules(tasks.__path__):
        importlib.import_module(f'{tasks.__name__}.{module.name}')

    def all_of(kind: type[Task]) -> list[type[Task]]:
        return [one for child in kind.__subclasses__() for one in (child, *all_of(child))]

    def of(kind: type[Task]) -> Sequence[Metric]:  # their order may depend on a setting, which has a default then
        found = getattr(kind, 'metrics', ())
        return kind().metrics if isinstance(found, property) else found

    found = [metric for kind in all_of(Task) for metric in of(kind)]
    return {metric.name: metric for metric in sorted(found, key=lambda metric: -len(metric.title))}


def _table(folder: Path, listed: Sequence[Listed]) -> str:
    metrics, differ = known_metrics(), differing(listed)
    heads = ('Started', 'Experiment', 'Options that differ', 'Result', 'Curve', 'Steps', 'Run')
    numeric = {'Result', 'Steps'}
    head = ''.join(
        f'<th scope="col"{" class=number" if name in numeric else ""}>'
        + ('Curve' if name == 'Curve' else f'<button type="button">{name}</button>')
        + '</th>'
        for name in heads
    )
    rows = ''.join(_row(folder, run, own, metrics) for run, own in zip(listed, differ, strict=True))
    return f'<div class="scroll"><table class="runs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(folder: Path, run: Listed, own: Mapping[str, Any], metrics: Mapping[str, Metric]) -> str:
    found, steps = headline(run), max((line['step'] for line in run.metrics), default=0)
    options = ' '.join(f'<code>{escape(f"{name}={_text(value)}")}</code>' for name, value in own.items()) or '-'
    return (
        f'<tr><th scope="row">{escape(str(run.config.get("started", "-")))}</th>'
        f'<td>{escape(str(run.config["experiment"]))}</td><td class="options">{options}</td>'
        f'{_result_cell(found, metrics)}<td>{_sparkline(run, found)}</td>'
        f'<td class="number" data-value="{steps}">{steps:,}</td><td>{_link(folder, run.path)}</td></tr>'
    )


def _text(value: Any) -> str:
    return ','.join(map(str, value)) if isinstance(value, list) else str(value)


def _result_cell(found: tuple[str, str, float] | None, metrics: Mapping[str, Metric]) -> str:
    if found is None:
        return '<td class="number">not evaluated</td>'
    split, name, value = found
    metric = metrics.get(name, Metric(name, name, '', True))
    words = f'{value:.2%}' if metric.unit == 'points' else f'{value:.4g}'
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
    from urllib.parse import quote

    return f'<a href="../{quote(page.relative_to(folder).as_posix())}">{escape(name)}</a>'
