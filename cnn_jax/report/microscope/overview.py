"""What the first view of the microscope shows of a run: curves, checkpoints, layers, findings, how it was made."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.describe import Layer, field_cells
from cnn_jax.drawing import figure as drawing
from cnn_jax.report import tables
from cnn_jax.report.microscope import space
from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.cards import cards
from cnn_jax.report.microscope.findings import findings
from cnn_jax.report.microscope.judged import Judged
from cnn_jax.report.microscope.look import Look
from cnn_jax.report.microscope.scripts import rounded
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.run import Run

MOST_POINTS = 200  # of a curve; of more, means of neighbours
SPLITS = ('train', 'validation', 'test')


def about_run(
    run: Run, look: Look, watched: Watched, layers: Sequence[Layer], judged: Judged, question: str
) -> dict[str, Any]:
    """The values of `run.js`; question: that the net is asked of each image, '' of none."""
    return {
        'experiment': tables.short_name(run.config, run.workdir),
        'step': look.step,
        'split': look.split,
        'images': len(watched.rows),
        'images_of': [run.config.get('data'), look.split, (run.config.get('seals') or {}).get(look.split)],
        'patches': look.costly,
        'classes': list(judged.classes),
        'question': question,
        'checkpoints': list(look.checkpoints),
        'history': [] if look.history is None else look.history.steps(),
        'space': space.first_of(watched),
        'spaces': space.numbers(watched, look.costly),
        'curves': curves(run),
        'layers': [about(layer) for layer in layers],
        'findings': findings(watched, judged, look.split),
        'command': tables.command(run.config),
        'colours': colours(),
        'cards': cards(),
        'settings': look.settings._asdict(),
    }


def about(layer: Layer) -> dict[str, Any]:
    field, _ = field_cells(layer)
    return {
        'name': layer.name,
        'kind': layer.kind,
        'shape': list(layer.output_shape),
        'parameters': layer.parameters,
        'field': field,
    }


def curves(run: Run) -> list[dict[str, Any]]:
    """The loss and the headline metric: `title`, `percent`, and [steps, values] by split."""
    metrics = {metric.name: metric for metric in (LOSS, run.task.headline)}  # the headline may be the loss
    return curves_of(run.metrics, tuple(metrics.values()))


def curves_of(lines: Sequence[Mapping[str, Any]], metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """The same of the lines of a log, of any metrics; those without a value are left out."""
    found = []
    for metric in metrics:
        splits = {split: points(lines, split, metric.name) for split in SPLITS}
        if any(steps for steps, _ in splits.values()):
            found.append({'title': metric.title, 'percent': metric.unit == 'points', 'splits': splits})
    return found


def points(metrics: Sequence[Mapping[str, Any]], split: str, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of a metric in the lines of a split, at most MOST_POINTS of each."""
    lines = [line for line in metrics if line.get('split') == split and line.get(name) is not None]
    steps, values = (np.array([line[key] for line in lines], float) for key in ('step', name))
    there = np.isfinite(values)
    steps, values = steps[there], values[there]
    parts = np.array_split(np.arange(len(steps)), min(len(steps), MOST_POINTS)) if len(steps) else []
    return [float(steps[part].mean()) for part in parts], rounded(np.array([values[part].mean() for part in parts]))


def colours() -> dict[str, list[list[int]]]:
    """The colours of signed and of unsigned values, 256 each, on light pages as on the figures, and on dark ones.

    On a dark page zero is dark, as the page is; both ends keep their hue and grow lighter by equal steps in Oklab.
    """
    half = np.linspace(0, 1, 128)[:, None]
    dark, blue, orange = (np.array(colour) for colour in ((0.29, 0, 0), (0.80, -0.05, -0.11), (0.80, 0.07, 0.11)))
    shades = np.concatenate([blue + half * (dark - blue), dark + half * (orange - dark)])
    rise = dark + np.linspace(0, 1, 256)[:, None] * (orange - dark)
    found = {
        'signed': np.asarray(drawing.diverging()(np.linspace(0, 1, 256)))[:, :3],
        'unsigned': np.asarray(drawing.sequential()(np.linspace(0, 1, 256)))[:, :3],
        'signed_dark': drawing.oklab_to_rgb(shades),
        'unsigned_dark': drawing.oklab_to_rgb(rise),
    }
    return {name: np.rint(255 * table).astype(int).tolist() for name, table in found.items()}
