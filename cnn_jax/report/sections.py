"""The sections of the page as HTML. Every text that comes from a run is escaped here."""

from collections.abc import Sequence
from html import escape

import numpy as np

from cnn_jax.describe import Layer
from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing import page
from cnn_jax.drawing.page import figure_html, image_source, section
from cnn_jax.drawing.words import duration, percent, short_count
from cnn_jax.report import figures
from cnn_jax.report.run import Run
from cnn_jax.statistics.intervals import wilson_interval
from cnn_jax.visualize import filters
from cnn_jax.whole_file import write_whole

_SMALL = 64  # images of fewer pixels a side are small by nature
_LARGEST_THUMBNAIL = 160  # pixels a side; larger images are scaled down


def accuracy(run: Run) -> float | None:
    """The final test accuracy: from the images, else from the metrics."""
    return float(run.right.mean()) if len(run.right) else run.last('top1', 'test')


def kind(run: Run) -> str:
    """The line above the title."""
    parts = [
        'Training run',
        f'data: {run.config["data"]}' if 'data' in run.config else '',
        str(run.config.get('started', '')),
    ]
    return ' · '.join(part for part in parts if part)


def short_result(run: Run) -> str:
    """The result in a few words."""
    value = accuracy(run)
    return 'not evaluated' if value is None else f'{percent(value)} test accuracy'


def result(run: Run, model: str) -> str:
    """The result in one sentence."""
    steps, seconds = run.last('step'), run.last('seconds')
    after = f' after {steps:,} steps' if steps is not None else ''
    after += f' and {duration(seconds)} of training' if steps is not None and seconds is not None else ''
    value = accuracy(run)
    if value is None:
        return f'{model} was trained{after.replace(" after", " for")} and not evaluated.'
    if not len(run.right):
        return f'{model} classifies {percent(value)} of the test images right{after}.'
    return f'{model} gets {run.right.sum():,} of {len(run.right):,} test images right ({percent(value)}){after}.'


def footer(run: Run) -> str:
    """Where the numbers are."""
    return f'The pictures and their numbers are in {run.workdir.name}/figures, as .png and .npz with the same names.'


def cards(run: Run, layers: Sequence[Layer]) -> str:
    """The numbers that matter most."""
    top = [layer for layer in layers if layer.depth == 1]
    parameters, macs, constants = (
        sum(getattr(layer, name) for layer in top) for name in ('parameters', 'macs', 'constants')
    )
    rows = [_accuracy_card(run), *_loss_card(run), *_time_card(run)]
    besides = [f'{parameters:,}'] if parameters >= 1e7 else []
    besides += [f'and {constants:,} constants'] if constants else []
    rows.append(('Parameters', short_count(parameters), ' '.join(besides) or 'trained numbers'))
    rows.append(('Multiply-adds', short_count(macs), 'for one image'))
    rows += _device_card(run)
    return page.cards(rows)


def _accuracy_card(run: Run) -> tuple[str, str, str]:
    value = accuracy(run)
    if value is None:
        return 'Test accuracy', '-', 'not evaluated'
    if not len(run.right):
        return 'Test accuracy', percent(value), ''
    low, high = wilson_interval(run.right.sum(), np.array(len(run.right)))
    return 'Test accuracy', percent(value), f'95 % interval {100 * low:.1f} to {100 * high:.1f} %'


def _loss_card(run: Run) -> list[tuple[str, str, str]]:
    test, train = (run.last('loss', split) for split in ('test', 'train'))
    if test is None:
        return []
    return [('Test loss', f'{test:.4f}', '' if train is None else f'training batches {train:.4f}')]


def _time_card(run: Run) -> list[tuple[str, str, str]]:
    seconds, rate = run.last('seconds'), run.last('images_per_second', 'train')
    if seconds is None:
        return []
    return [('Training time', duration(seconds), '' if rate is None else f'{rate:,.0f} images a second')]


def _device_card(run: Run) -> list[tuple[str, str, str]]:
    devices = run.config.get('devices')
    if not devices:
        return []
    if isinstance(devices, (list, tuple)) and len(devices) == 2:
        return [('Devices', f'{devices[0]}', str(devices[1]))]
    return [('Devices', str(devices), '')]


def curves(run: Run) -> str:
    """Loss and accuracy over the steps."""
    drawn = [
        ('loss', 'Loss', figures.curve(run, 'loss', percent=False)),
        ('accuracy', 'Accuracy', figures.curve(run, 'top1', percent=True)),
    ]
    shown = [
        figure_html(run.workdir, f'curve_{name}', title, figure, run.record) for name, title, figure in drawn if figure
    ]
    return section('Learning curves', '', f'<div class="figures">{"".join(shown)}</div>') if shown else ''


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
    names = run.class_names
    listed = [f'{names[pairs[0, place]]} taken for {names[pairs[1, place]]} ({counts[place]} times)' for place in often]
    return f'Most frequent mistakes: {", ".join(listed)}.'


def mistakes(run: Run) -> str:
    """The misclassified test images, with what they are and what they were taken for."""
    if not len(run.right):
        return ''
    total = int((~run.right).sum())
    if not total:
        return section('Misclassified test images', 'There are none.', '')
    if not len(run.mistakes):
        return ''
    arrays = {name: run.results[name][run.mistakes] for name in ('index', 'label', 'prediction', 'probability', 'loss')}
    folder = run.workdir / 'figures'
    numbers = {'row': arrays.pop('index'), **arrays, 'images': run.images}
    drawing.save_arrays(folder, 'mistakes', numbers, {'figure': 'mistakes', **run.record})
    write_whole(folder / 'mistakes.png', drawing.as_png(figures.mistake_grid(run)))
    count = f'All {total}' if total == len(run.mistakes) else f'{len(run.mistakes)} of {total}'
    text = f'{count}, the highest loss first. The probability is what the network gave its wrong answer.'
    items = [_mistake(run, place) for place in range(len(run.mistakes))]
    note = f'{text} {_size_note(run)}'.strip()
    return section('Misclassified test images', note, f'<ol class="mistakes">{"".join(items)}</ol>')


def _size_note(run: Run) -> str:
    height, width = run.image_shape[:2]
    if min(height, width) > _SMALL:
        return ''
    return f'The images are {width} x {height} pixels, so these pictures are coarse by nature: nothing was smoothed.'


def _mistake(run: Run, place: int) -> str:
    names = run.class_names
    row, probability, loss = (run.results[name][run.mistakes[place]] for name in ('index', 'probability', 'loss'))
    label, prediction = (names[run.results[name][run.mistakes[place]]] for name in ('label', 'prediction'))
    source = image_source(drawing.as_png(run.images[place], _LARGEST_THUMBNAIL))
    words = escape(f'{label}, taken for {prediction}')
    return (
        f'<li><img src="{source}" alt="{words}" title="test image {row}: {words}" loading="lazy">'
        f'<div class="labels">{escape(label)} <span class="wrong">&rarr;&nbsp;{escape(prediction)}</span></div>'
        f'<div class="more"><span>{percent(float(probability), 0)}</span> <span>loss {loss:.2f}</span></div></li>'
    )


def first_filters(run: Run, layers: Sequence[Layer]) -> str:
    """The filters of the first convolution."""
    kernels = filters.convolution_kernels(run.variables)
    first = next((layer.name for layer in layers if layer.name in kernels), None)
    if first is None:
        return ''
    note = 'Smooth filters are a sign of enough training, noisy ones of too little.'
    drawn = figures.filter_grid(run, first)
    shown = figure_html(run.workdir, 'filters', f'Filters of {first}', drawn, run.record, note=note)
    return section('What the first layer looks for', '', f'<div class="wide">{shown}</div>')
