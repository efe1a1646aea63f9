"""What the page of a localiser shows: the accuracy for any overlap, and which half of an answer is wrong."""

import numpy as np

from cnn_jax.drawing import charts
from cnn_jax.drawing.page import figure_html, section
from cnn_jax.ops.boxes import box_iou
from cnn_jax.tasks import cases
from cnn_jax.tasks.results import Results
from cnn_jax.tasks.run import Run

ENOUGH = 0.5  # IoU of a box that is found
OVERLAPS = np.linspace(0, 1, 101)
KINDS = ('right', 'the class alone is wrong', 'the box alone is wrong', 'both are wrong')


def split_errors(results: Results) -> dict[str, int]:
    """How many images have a right answer, a wrong class, a wrong box, or both."""
    named, found = results['rank'] < 1, results['iou'] >= ENOUGH
    each = (named & found, ~named & found, named & ~found, ~named & ~found)
    return {kind: int(np.sum(one)) for kind, one in zip(KINDS, each, strict=True)}


def sections(run: Run) -> list[str]:
    """The sections of the page that are localisation's own."""
    if not run.results:
        return []
    named, overlap = run.results['rank'] < 1, run.results['iou']
    means = {
        'class and box': np.array([np.mean(named & (overlap >= least)) for least in OVERLAPS]),
        'box': np.array([np.mean(overlap >= least) for least in OVERLAPS]),
        'the same answer for all': _blind(run.results),
    }
    drawn = charts.lines(OVERLAPS, means, axes_labels=('least IoU of a box that is right', 'test images in %'))
    wrong = charts.counts(split_errors(run.results), label='test images')
    shown = [
        figure_html(run.workdir, 'overlaps', 'Right for any overlap', drawn, run.record, note='The rule is at 0.5.'),
        figure_html(run.workdir, 'errors', 'What is wrong', wrong, run.record),
    ]
    return [section('What is found', '', f'<div class="figures">{"".join(shown)}</div>'), *cases.sections(run)]


def _blind(results: Results) -> np.ndarray:
    """The same curve of the commonest class and the mean box, (overlaps,)."""
    labels, boxes = results['label'], results['box']
    named, overlap = labels == np.bincount(labels).argmax(), box_iou(boxes.mean(0)[None], boxes)
    return np.array([np.mean(named & (overlap >= least)) for least in OVERLAPS])
