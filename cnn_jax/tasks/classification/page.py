"""What the page of a run shows of classification: accuracies, confusions, misclassified images."""

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.page import figure_html, section
from cnn_jax.drawing.words import percent
from cnn_jax.files.whole import write_whole
from cnn_jax.statistics.intervals import wilson_interval
from cnn_jax.tasks.classification import figures
from cnn_jax.tasks.page import size_note, thumbnail
from cnn_jax.tasks.run import Run


def accuracy(run: Run) -> float | None:
    """The final test accuracy: from the images, else from the metrics."""
    return float(run.right.mean()) if len(run.right) else run.last('top1', 'test')


def short_result(run: Run) -> str:
    """The result in a few words."""
    value = accuracy(run)
    return 'not evaluated' if value is None else f'{percent(value)} test accuracy'


def accuracy_card(run: Run) -> tuple[str, str, str]:
    value = accuracy(run)
    if value is None:
        return 'Test accuracy', '-', 'not evaluated'
    if not len(run.right):
        return 'Test accuracy', percent(value), ''
    low, high = wilson_interval(run.right.sum(), np.array(len(run.right)))
    return 'Test accuracy', percent(value), f'95 % interval {100 * low:.1f} to {100 * high:.1f} %'


def result(run: Run) -> str:
    """The result as the middle of a sentence; '' where there is none."""
    value = accuracy(run)
    if value is None:
        return ''
    if not len(run.right):
        return f'classifies {percent(value)} of the test images right'
    return f'gets {run.right.sum():,} of {len(run.right):,} test images right ({percent(value)})'


def classes(run: Run) -> str:
    """Which classes are confused, and how sure the accuracy of each is."""
    matrix, each = figures.confusion(run), figures.class_accuracy(run)
    if matrix is None or each is None:
        return ''
    shown = [
        figure_html(
            run.workdir,
            'confusion',
            'Confusion matrix',
            matrix,
            run.record,
            note='Counts of test images. Blue: right; orange: wrong; the stronger, the more often.',
        ),
        figure_html(
            run.workdir,
            'class_accuracy',
            'Accuracy of each class',
            each,
            run.record,
            note='Dots: measured; bands: 95 % interval (Wilson), wide where images are few.',
        ),
    ]
    return section('Classes', _confused_pairs(run), f'<div class="figures">{"".join(shown)}</div>')


def _confused_pairs(run: Run, most: int = 3) -> str:
    wrong = ~run.right
    pairs, counts = np.unique(
        np.stack([run.results['label'][wrong], run.results['prediction'][wrong]]), axis=1, return_counts=True
    )
    often = [place for place in np.argsort(-counts, kind='stable') if counts[place] > 1][:most]
    if not often:
        return ''
    names = figures.named_classes(run)
    listed = [f'{names[pairs[0, place]]} taken for {names[pairs[1, place]]} ({counts[place]} times)' for place in often]
    return f'Most frequent mistakes: {", ".join(listed)}.'


def mistakes(run: Run) -> str:
    """The misclassified test images, with what they are and what they were taken for."""
    if not len(run.right):
        return ''
    total = int((~run.right).sum())
    if not total:
        return section('Misclassified test images', 'There are none.', '')
    if not len(run.worst):
        return ''
    arrays = {name: run.results[name][run.worst] for name in ('index', 'label', 'prediction', 'probability', 'loss')}
    folder = run.workdir / 'figures'
    numbers = {'row': arrays.pop('index'), **arrays, 'images': run.images}
    drawing.save_arrays(folder, 'mistakes', numbers, {'figure': 'mistakes', **run.record})
    write_whole(folder / 'mistakes.png', drawing.as_png(figures.mistake_grid(run)))
    count = f'All {total:,}' if total == len(run.worst) else f'{len(run.worst)} of {total:,}'
    text = f'{count}, the highest loss first. The probability is what the network gave its wrong answer.'
    items = [_mistake(run, place) for place in range(len(run.worst))]
    note = f'{text} {size_note(run)}'.strip()
    return section('Misclassified test images', note, f'<ol class="mistakes">{"".join(items)}</ol>')


def _mistake(run: Run, place: int) -> str:
    names = figures.named_classes(run)
    one = {name: values[run.worst[place]] for name, values in run.results.items()}
    more = f'<span>{percent(float(one["probability"]), 0)}</span> <span>loss {one["loss"]:.2f}</span>'
    return thumbnail(run.images[place], int(one['index']), names[one['label']], names[one['prediction']], more)
