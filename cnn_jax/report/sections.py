"""The sections of the page as HTML. Every text that comes from a run is escaped here."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from cnn_jax.describe import Layer
from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.words import duration, percent, short_count
from cnn_jax.report import figures
from cnn_jax.report.figures import Drawn
from cnn_jax.report.run import Run
from cnn_jax.statistics.intervals import wilson_interval
from cnn_jax.visualize import filters

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
    cells = [
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd><dd class="more">{escape(more)}</dd></div>'
        for name, value, more in rows
    ]
    return f'<dl class="cards">{"".join(cells)}</dl>'


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


def _figure(run: Run, name: str, drawn: Drawn, title: str, note: str = '') -> str:
    """Saves a figure with its numbers, and returns it for the page."""
    settings = {'figure': name, 'workdir': run.workdir.name, **run.config}
    drawing.save_figure(drawn.figure, run.workdir / 'figures', name, drawn.arrays, settings)
    text = f'{drawn.caption} {note}'.strip()
    under = f'<figcaption>{escape(text)}</figcaption>' if text else ''
    svg = drawing.as_svg(drawn.figure).replace('<svg ', f'<svg aria-label="{escape(title)}" ', 1)
    return f'<figure><h3>{escape(title)}</h3>{svg}{under}</figure>'


def curves(run: Run) -> str:
    """Loss and accuracy over the steps."""
    drawn = [
        ('loss', 'Loss', figures.curve(run, 'loss', percent=False)),
        ('accuracy', 'Accuracy', figures.curve(run, 'top1', percent=True)),
    ]
    shown = [_figure(run, f'curve_{name}', figure, title) for name, title, figure in drawn if figure]
    return f'<section><h2>Learning curves</h2><div class="figures">{"".join(shown)}</div></section>' if shown else ''


def classes(run: Run) -> str:
    """Which classes are confused, and how sure the accuracy of each is."""
    matrix, each = figures.confusion(run), figures.class_accuracy(run)
    if matrix is None or each is None:
        return ''
    shown = [
        _figure(
            run,
            'confusion',
            matrix,
            'Confusion matrix',
            'Counts of test images. Blue: right; orange: wrong; the stronger, the more often.',
        ),
        _figure(
            run,
            'class_accuracy',
            each,
            'Accuracy of each class',
            'Dots: measured; bands: 95 % interval (Wilson), wide where images are few.',
        ),
    ]
    return f'<section><h2>Classes</h2>{_confused_pairs(run)}<div class="figures">{"".join(shown)}</div></section>'


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
    return f'<p class="note">Most frequent mistakes: {escape(", ".join(listed))}.</p>'


def mistakes(run: Run) -> str:
    """The misclassified test images, with what they are and what they were taken for."""
    if not len(run.right):
        return ''
    total = int((~run.right).sum())
    if not total:
        return '<section><h2>Misclassified test images</h2><p class="note">There are none.</p></section>'
    if not len(run.mistakes):
        return ''
    arrays = {name: run.results[name][run.mistakes] for name in ('index', 'label', 'prediction', 'probability', 'loss')}
    folder = run.workdir / 'figures'
    numbers = {'row': arrays.pop('index'), **arrays, 'images': run.images}
    drawing.save_arrays(folder, 'mistakes', numbers, {'figure': 'mistakes', 'workdir': run.workdir.name, **run.config})
    (folder / 'mistakes.png').write_bytes(_png(figures.mistake_grid(run)))
    count = f'All {total}' if total == len(run.mistakes) else f'{len(run.mistakes)} of {total}'
    text = f'{count}, the highest loss first. The probability is what the network gave its wrong answer.'
    items = [_mistake(run, place) for place in range(len(run.mistakes))]
    return (
        f'<section><h2>Misclassified test images</h2><p class="note">{text} {_size_note(run)}</p>'
        f'<ol class="mistakes">{"".join(items)}</ol></section>'
    )


def _size_note(run: Run) -> str:
    height, width = run.image_shape[:2]
    if min(height, width) > _SMALL:
        return ''
    return f'The images are {width} x {height} pixels, so these pictures are coarse by nature: nothing was smoothed.'


def _mistake(run: Run, place: int) -> str:
    names = run.class_names
    row, probability, loss = (run.results[name][run.mistakes[place]] for name in ('index', 'probability', 'loss'))
    label, prediction = (names[run.results[name][run.mistakes[place]]] for name in ('label', 'prediction'))
    source = base64.b64encode(_png(run.images[place], _LARGEST_THUMBNAIL)).decode()
    words = escape(f'{label}, taken for {prediction}')
    return (
        f'<li><img src="data:image/png;base64,{source}" alt="{words}" title="test image {row}: {words}" loading="lazy">'
        f'<div class="labels">{escape(label)} <span class="wrong">&rarr;&nbsp;{escape(prediction)}</span></div>'
        f'<div class="more"><span>{percent(float(probability), 0)}</span> <span>loss {loss:.2f}</span></div></li>'
    )


def _png(image: np.ndarray, largest: int | None = None) -> bytes:
    """A uint8 image (height, width, 1 or 3) as PNG, scaled down if a side is more than `largest` pixels."""
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if largest is not None:
        picture.thumbnail((largest, largest))
    buffer = io.BytesIO()
    picture.save(buffer, 'PNG')
    return buffer.getvalue()


def first_filters(run: Run, layers: Sequence[Layer]) -> str:
    """The filters of the first convolution."""
    kernels = filters.convolution_kernels(run.variables)
    first = next((layer.name for layer in layers if layer.name in kernels), None)
    if first is None:
        return ''
    note = 'Smooth filters are a sign of enough training, noisy ones of too little.'
    shown = _figure(run, 'filters', figures.filter_grid(run, first), f'Filters of {first}', note)
    return f'<section><h2>What the first layer looks for</h2><div class="wide">{shown}</div></section>'
