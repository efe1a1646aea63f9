"""The page of a comparison: what differs, the curves beside each other, and the images that changed."""

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.compare import text
from cnn_jax.compare.runs import CIRCUMSTANCES, SETTINGS, Trained, changed_places
from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import BLUE, INK, MUTED, ORANGE, Drawn
from cnn_jax.drawing.page import figure_html, html_table, image_source, put_page, section
from cnn_jax.drawing.words import capitalised
from cnn_jax.statistics.paired import Paired

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ((BLUE, '-'), (ORANGE, '-'), (INK, '--'), (MUTED, '-.'), (BLUE, ':'), (ORANGE, ':'))
MOST_IMAGES = 42  # of each kind
_THUMBNAIL = 96  # pixels a side at least


def shown_places(run: Trained, other: Trained) -> list[np.ndarray]:
    """The places in the results of the images gained and lost, at most MOST_IMAGES of each."""
    return [places[:MOST_IMAGES] for places in changed_places(run, other)]


def write_page(
    runs: Sequence[Trained], pairs: Sequence[tuple[Paired, float]], images: dict[int, np.ndarray], folder: Path
) -> Path:
    """Writes `report/index.html` below `folder`; `images` are those that changed, by their place."""
    names = text.names(runs)
    sections = [
        section('What differs', '', _both_tables(runs)),
        section(f'On the {runs[0].split} split', '', html_table(['', *names], text.metric_rows(runs))),
        section('Learning curves', '', _figures(runs, folder)),
        *(_pair_section(run, runs[0], pair, p, images) for run, (pair, p) in zip(runs[1:], pairs, strict=True)),
    ]
    drawing.save_arrays(folder / 'figures', 'changed', _numbers(runs), _settings(runs))
    results = [
        f'{run.name}: {text.sentences(pair, p, run.task.headline)[0]}'
        for run, (pair, p) in zip(runs[1:], pairs, strict=True)
    ]
    return put_page(
        folder,
        title=f'{names[0]} and {len(names) - 1} more',
        kind=f'Comparison · {time.strftime("%Y-%m-%d %H:%M")}',
        heading=' · '.join(names),
        result=f'Against {names[0]}: {"; ".join(results)}.',
        sections=sections,
        footer=f'Every image of every run is in figures/changed.npz of {folder.name}.',
    )


def _numbers(runs: Sequence[Trained]) -> dict[str, np.ndarray]:
    """The results of every image: what is true once, what the models say for each run."""
    task, first = runs[0].task, runs[0].evaluation.results
    found = {'name': np.array(text.names(runs)), **{name: first[name] for name in ('index', *task.truths)}}
    for name in first:
        if name not in found:
            found[name] = np.stack([run.evaluation.results[name] for run in runs])
    right = [run.right for run in runs]
    return found if right[0] is None else {**found, 'right': np.stack([one for one in right if one is not None])}


def _settings(runs: Sequence[Trained]) -> dict[str, Any]:
    return {'runs': [str(run.path) for run in runs]}


def _both_tables(runs: Sequence[Trained]) -> str:
    notes, tables = '', ''
    for title, entries in (('options', SETTINGS), ('versions and machine', CIRCUMSTANCES)):
        rows = text.setting_rows(runs, entries)
        if rows:
            tables += html_table([title, *text.names(runs)], rows)
        else:
            notes += f'<p class="note">The {title} agree.</p>'
    return notes + tables


def _figures(runs: Sequence[Trained], folder: Path) -> str:
    headline, split = runs[0].task.headline, runs[0].split
    shown = [
        figure_html(folder, f'curve_{name}', title, curve(runs, metric, scale, label), _settings(runs))
        for name, title, metric, scale, label in (
            (
                headline.title.replace(' ', '_'),
                f'{capitalised(split)} {headline.title}',
                headline.name,
                headline.scale,
                f'{split} {headline.title}' + ' in %' * (headline.unit == 'points'),
            ),
            ('loss', f'{capitalised(split)} loss', 'loss', 1.0, f'{split} loss'),
        )
    ]
    return f'<div class="figures">{"".join(shown)}</div>'


def curve(runs: Sequence[Trained], metric: str, scale: float, label: str) -> Drawn:
    """A metric of the split that is compared over the steps, a line a run."""
    arrays: dict[str, Any] = {'name': np.array(text.names(runs))}
    with drawing.style():
        figure = drawing.new_figure(4.6, 2.6 + 0.17 * len(runs))
        axes = figure.subplots()
        for number, run in enumerate(runs):
            lines = [line for line in run.metrics if line['split'] == run.split and line.get(metric) is not None]
            steps, values = (
                np.array([line['step'] for line in lines]),
                np.array([line[metric] for line in lines], float),
            )
            arrays |= {f'step_{number}': steps, f'{metric}_{number}': values}
            _draw(axes, steps, scale * values, number, run.name)
        axes.grid(True, axis='y')
        axes.set_xlabel('step')
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
        axes.legend(loc='lower left', bbox_to_anchor=(-0.02, 1), borderaxespad=0.2, handlelength=2.2)
    return Drawn(figure, arrays, '')


def _draw(axes: 'Axes', steps: np.ndarray, values: np.ndarray, number: int, name: str) -> None:
    colour, line = LINES[number % len(LINES)]
    marker = 'o' if len(steps) < 30 else ''
    axes.plot(steps, values, line, marker=marker, color=colour, markersize=3, label=name)


def _pair_section(run: Trained, other: Trained, pair: Paired, p: float, images: dict[int, np.ndarray]) -> str:
    body = ''.join(f'<p class="note">{escape(line)}</p>' for line in text.sentences(pair, p, run.task.headline))
    for word, places in zip(('Gained', 'Lost'), shown_places(run, other), strict=True):
        shown = ''.join(_thumbnail(images[int(place)], int(place), run, other) for place in places)
        body += f'<h3>{word}</h3><ol class="mistakes">{shown}</ol>' if shown else ''
    return section(f'{run.name} against {other.name}', '', body)


def _thumbnail(image: np.ndarray, place: int, run: Trained, other: Trained) -> str:
    task, names = run.task, run.class_names
    one, two = ({name: values[place] for name, values in of.evaluation.results.items()} for of in (run, other))
    label, own, before = task.truth(one, names), task.result_answer(one, names), task.result_answer(two, names)
    row = run.evaluation.results['index'][place]
    factor = max(1, _THUMBNAIL // image.shape[0])
    pixels = image.repeat(factor, axis=0).repeat(factor, axis=1)
    source = image_source(drawing.as_png(pixels))
    words = escape(f'{label}: taken for {before} by {other.name}, for {own} by {run.name}')
    return (
        f'<li><img src="{source}" alt="{words}" title="{run.split} image {row}: {words}" loading="lazy">'
        f'<div class="labels">{escape(label)}</div>'
        f'<div class="more"><span>{escape(before)} &rarr;&nbsp;{escape(own)}</span> <span>image {row}</span></div></li>'
    )
