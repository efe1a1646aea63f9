"""Two runs of a folder side by side, on a page of its own that reads what stands on the pages of the runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cnn_jax.drawing.page import page_path, put_page
from cnn_jax.drawing.words import one_line
from cnn_jax.report import tables, web
from cnn_jax.report.listed import Listed, headline, metric_of, settings, text_of, value_text
from cnn_jax.report.microscope import DATA
from cnn_jax.report.microscope.overview import curves_of
from cnn_jax.statistics.metric import LOSS, Metric

FILE = 'compare.html'


def write_page(folder: Path, listed: Sequence[Listed], metrics: Mapping[str, Metric]) -> Path:
    """Writes `report/compare.html` of a folder of runs, and returns its path.

    Which two are compared stands in the address. Their options and curves stand in the page; what needs images is read
    from the data of their own pages.

    metrics: what is known of each metric, by its name.

    Raises:
        OSError: the page cannot be written.
    """
    about = [about_run(folder, run, metrics) for run in listed]
    return put_page(
        folder,
        title=f'{folder.resolve().name}: two runs side by side',
        kind='Runs',
        heading='Two runs side by side',
        result='What differs in how they were made, in what they answer, and in what their units do.',
        sections=[web.comparison(json.dumps(about, allow_nan=False))],
        footer='Written by --mode=report of a folder. For the paired test on a whole split: --mode=compare RUN RUN.',
        file=FILE,
    )


def about_run(folder: Path, run: Listed, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """What the page knows of a run before it reads the data of its page, at `base`; '' where there is none."""
    relative, page = run.path.relative_to(folder), page_path(run.path)
    found = headline(run)
    has_data = (page.parent / DATA / 'matching.js').exists()
    return {
        'name': relative.as_posix(),
        'experiment': tables.short_name(run.config, run.path),
        'base': f'../{quote(page.parent.relative_to(folder).as_posix())}/' if has_data else '',
        'options': {name: one_line(text_of(value)) for name, value in settings(run).items()},
        'result': '' if found is None else _result(found, metrics),
        'curves': curves(run, metrics),
    }


def _result(found: tuple[str, str, float], metrics: Mapping[str, Metric]) -> str:
    split, name, value = found
    metric = metric_of(name, metrics)
    return f'{split} {metric.title} {value_text(value, metric)}'


def curves(run: Listed, metrics: Mapping[str, Metric]) -> list[dict[str, Any]]:
    """The loss and the headline metric, as `microscope.overview.curves` has them."""
    found = headline(run)
    shown = [LOSS] if found is None or found[1] == LOSS.name else [LOSS, metric_of(found[1], metrics)]
    named = {metric.title: metric.name for metric in shown}
    return [{'name': named[curve['title']], **curve} for curve in curves_of(run.metrics, shown)]
