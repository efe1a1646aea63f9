"""What the page of a segmentation shows: each class, which are taken for which, and the colours of the pictures."""

from html import escape

import numpy as np

from cnn_jax.drawing import charts
from cnn_jax.drawing.overlay import class_colours
from cnn_jax.drawing.page import figure_html, html_table, section
from cnn_jax.drawing.words import percent
from cnn_jax.tasks import cases
from cnn_jax.tasks.run import Run

MOST = 12  # mistakes that are listed


def sections(run: Run, overlaps: np.ndarray, confusion: np.ndarray) -> list[str]:
    """The sections of the page that are segmentation's own.

    overlaps: the IoU of each class, (classes,). confusion: pixels by right class and answer, (classes, classes).
    """
    drawn = charts.by_class(run.class_names, {'IoU': overlaps}, label='intersection over union in %')
    shown = figure_html(run.workdir, 'class_iou', 'Intersection over union of each class', drawn, run.record)
    body = f'<div class="figures">{shown}</div>{_confused(run, confusion)}'
    return [section('What is found', '', body), _legend(run), *cases.sections(run)]


def _confused(run: Run, confusion: np.ndarray) -> str:
    """The classes that are taken for others most often, as a table."""
    wrong = confusion * (1 - np.eye(len(confusion), dtype=confusion.dtype))
    right = np.maximum(confusion.sum(1), 1)
    rows = []
    for place in np.argsort(-wrong, axis=None, kind='stable')[:MOST]:
        truth, answer = divmod(int(place), len(confusion))
        if wrong[truth, answer]:
            share = percent(wrong[truth, answer] / right[truth])
            rows.append((run.class_names[truth], run.class_names[answer], f'{wrong[truth, answer]:,}', share))
    heads = ('class', 'taken for', 'pixels', 'of its pixels')
    return html_table(heads, rows, numeric=heads[2:]) if rows else ''


def _legend(run: Run) -> str:
    if not any(run.cases.values()):
        return ''
    colours = class_colours(len(run.class_names))
    items = [
        f'<li><span style="background: rgb({red}, {green}, {blue})"></span>{escape(name)}</li>'
        for name, (red, green, blue) in list(zip(run.class_names, colours.tolist(), strict=True))[1:]
    ]
    return section('Colours of the pictures', '', f'<ul class="legend">{"".join(items)}</ul>')
