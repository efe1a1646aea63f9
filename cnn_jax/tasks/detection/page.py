"""What the page of a detector shows: precision and recall, each class, and what is wrong with its answers."""

import numpy as np

from cnn_jax.drawing import charts
from cnn_jax.drawing.figure import Drawn
from cnn_jax.drawing.page import figure_html, section
from cnn_jax.tasks import cases
from cnn_jax.tasks.detection import errors, precision
from cnn_jax.tasks.run import Run


def sections(run: Run) -> list[str]:
    """The sections of the page that are detection's own."""
    if not run.results:
        return []
    found = precision.measure(run.results, run.class_names)
    split = errors.split_errors(run.results)
    meanings = '; '.join(f'{kind}: {text}' for kind, text in errors.MEANINGS.items())
    shown = [
        figure_html(
            run.workdir, 'precision_recall', 'Precision and recall', curves(found), run.record,
            note='Thin: each class at an IoU of 0.5. Precision is interpolated, as by COCO.',
        ),
        figure_html(
            run.workdir, 'class_precision', 'Average precision of each class',
            charts.by_class(run.class_names, {'AP': found.classes, 'AP at 0.5': found.classes50}, label='AP in %'),
            run.record,
        ),
        figure_html(
            run.workdir, 'errors', 'What is wrong', charts.counts(split, label='answers (missed: objects)'), run.record,
            note=f'Answers with a score of {errors.SURE} at least. {meanings[:1].upper()}{meanings[1:]}.',
        ),
    ]  # fmt: skip
    body = f'<div class="figures">{"".join(shown)}</div>'
    return [section('What is found', '', body), *cases.sections(run)]


def curves(found: precision.Precision) -> Drawn:
    """Precision over recall, the mean over the classes at two IoUs, and each class at the first."""
    means = {}
    for title, curve in zip(('IoU 0.5', 'IoU 0.75'), found.curves, strict=True):
        known = curve[:, np.isfinite(curve).all(0)]
        means[title] = known.mean(1) if known.size else np.full(len(curve), np.nan)
    return charts.lines(
        100 * precision.RECALLS, means, axes_labels=('recall in %', 'precision in %'), thin=found.curves[0].T
    )
