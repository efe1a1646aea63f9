"""The sections of the page as HTML. Every text that comes from a run is escaped here."""

import base64
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from cnn_jax import describe
from cnn_jax.describe import Layer
from cnn_jax.report import figures
from cnn_jax.report.figures import Drawn
from cnn_jax.report.run import Run, wilson_interval
from cnn_jax.visualize import figure as drawing
from cnn_jax.visualize import filters

_SMALL = 64  # images of fewer pixels a side are small by nature
_LARGEST_THUMBNAIL = 160  # pixels a side; larger images are scaled down


def percent(fraction: float) -> str:
    """0.98889 as '98.9 %'; two decimals near the ends."""
    digits = 2 if 0.995 <= fraction < 1 else 1
    return f'{100 * fraction:.{digits}f} %'


def duration(seconds: float) -> str:
    """'12.3 s', '3 min 20 s', '2 h 05 min'."""
    if seconds < 60:
        return f'{seconds:.1f} s' if seconds < 10 else f'{seconds:.0f} s'
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes < 60 else f'{minutes // 60} h {minutes % 60:02d} min'


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
        return f'{model} reads {percent(value)} of the test images right{after}.'
    return f'{model} reads {run.right.sum():,} of {len(run.right):,} test images right ({percent(value)}){after}.'


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
    besides = f'and {constants:,} constants' if constants else 'trained numbers'
    rows.append(('Parameters', f'{parameters:,}', besides))
    rows.append(
        (
            'Multiply-adds',
            f'{macs:,}' if macs < 1e7 else f'{macs / 1e9:.3g} billion' if macs >= 1e9 else f'{macs / 1e6:.3g} million',
            'for one image',
        )
    )
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
    return [('Test loss', f'{test:.4g}', '' if train is None else f'last training batches {train:.4g}')]


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
            'Counts of test images. Blue: right; orange: wrong, the darker the more often.',
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
    listed = [f'{names[pairs[0, place]]} read as {names[pairs[1, place]]} ({counts[place]} times)' for place in often]
    return f'<p class="note">Most frequent mistakes: {escape(", ".join(listed))}.</p>'


def mistakes(run: Run) -> str:
    """The misread test images, with what they are and what they were taken for."""
    if not len(run.right):
        return ''
    total = int((~run.right).sum())
    if not total:
        return '<section><h2>Misread test images</h2><p class="note">There are none.</p></section>'
    if not len(run.mistakes):
        return ''
    arrays = {name: run.results[name][run.mistakes] for name in ('label', 'prediction', 'probability', 'loss')}
    folder = run.workdir / 'figures'
    numbers = {**arrays, 'row': run.mistakes, 'images': run.images}
    drawing.save_arrays(folder, 'mistakes', numbers, {'figure': 'mistakes', 'workdir': run.workdir.name, **run.config})
    (folder / 'mistakes.png').write_bytes(_png(figures.mistake_grid(run)))
    count = f'All {total}' if total == len(run.mistakes) else f'{len(run.mistakes)} of {total}'
    text = f'{count}, the highest loss first. The probability is what the network gave its wrong answer.'
    items = [_mistake(run, place) for place in range(len(run.mistakes))]
    return (
        f'<section><h2>Misread test images</h2><p class="note">{text} {_size_note(run)}</p>'
        f'<ol class="mistakes">{"".join(items)}</ol></section>'
    )


def _size_note(run: Run) -> str:
    height, width = run.image_shape[:2]
    if min(height, width) > _SMALL:
        return ''
    return f'The images are {width} x {height} pixels, so these pictures are coarse by nature: nothing was smoothed.'


def _mistake(run: Run, place: int) -> str:
    row, names = run.mistakes[place], run.class_names
    label, prediction = (names[int(run.results[name][row])] for name in ('label', 'prediction'))
    probability, loss = (float(run.results[name][row]) for name in ('probability', 'loss'))
    source = base64.b64encode(_png(run.images[place])).decode()
    words = escape(f'{label}, read as {prediction}')
    return (
        f'<li><img src="data:image/png;base64,{source}" alt="{words}" title="test image {row}: {words}" loading="lazy">'
        f'<div class="labels">{escape(label)} <span class="wrong">&rarr;&nbsp;{escape(prediction)}</span></div>'
        f'<div class="more">{100 * probability:.0f} % &middot; loss {loss:.2f}</div></li>'
    )


def _png(image: np.ndarray) -> bytes:
    """A uint8 image (height, width, 1 or 3) as PNG; large ones are scaled down first."""
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if len(image) <= 4 * _LARGEST_THUMBNAIL and image.shape[0] == image.shape[1] and len(image) > _LARGEST_THUMBNAIL:
        picture.thumbnail((_LARGEST_THUMBNAIL, _LARGEST_THUMBNAIL))
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


def layers(table: Sequence[Layer]) -> str:
    """The layer table; blocks can be opened."""
    notes = escape(
        'Multiply-adds and memory are for one image; the receptive field is what one unit sees, in pixels of the image, padding included.'
    )
    shown = _layer_rows([layer for layer in table if layer.depth == 1], table)
    everything = ''
    if any(layer.depth > 1 for layer in table):
        everything = f'<details><summary>All {len(table)} layers, inside blocks too</summary>{_layer_rows(table, table)}</details>'
    return f'<section><h2>Layers</h2><p class="note">{notes}</p>{shown}{_unread(table)}{everything}</section>'


def _layer_rows(shown: Sequence[Layer], table: Sequence[Layer]) -> str:
    heads = (
        'Layer',
        'Kind',
        'Output',
        'Size of the output',
        'Parameters',
        'Multiply-adds',
        'Receptive field',
        'Stride',
        'Memory',
    )
    numeric = {2, 4, 5, 6, 7, 8}
    head = ''.join(f'<th scope="col"{_number(place in numeric)}>{name}</th>' for place, name in enumerate(heads))
    rows = ''.join(_layer_row(layer) for layer in shown)
    top = [layer for layer in table if layer.depth == 1]
    parameters, macs, memory = (
        sum(getattr(layer, name) for layer in top) for name in ('parameters', 'macs', 'activation_bytes')
    )
    cells = ['', '', '', f'{parameters:,}', f'{macs:,}', '', '', describe.short_bytes(memory)]
    foot = ''.join(f'<td class="number">{cell}</td>' for cell in cells)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
        f'<tfoot><tr><th scope="row">Total</th>{foot}</tr></tfoot></table></div>'
    )


def _number(numeric: bool) -> str:
    return ' class="number"' if numeric else ''


def _layer_row(layer: Layer) -> str:
    field, stride = describe.field_cells(layer)
    mark = ' *' if describe.unread_note(layer) else ''
    cells = [
        f'<th scope="row">{"&emsp;" * (layer.depth - 1)}{escape(layer.name)}{mark}</th>',
        f'<td>{escape(layer.kind)}</td>',
        f'<td class="number">{describe.short_shape(layer.output_shape)}</td>',
        f'<td class="formula">{escape(describe.formula(layer))}</td>',
        *(f'<td class="number">{text}</td>' for text in (f'{layer.parameters:,}', f'{layer.macs:,}', field, stride)),
        f'<td class="number">{describe.short_bytes(layer.activation_bytes)}</td>',
    ]
    return f'<tr{" class=inside" if layer.depth > 1 else ""}>{"".join(cells)}</tr>'


def _unread(table: Iterable[Layer]) -> str:
    notes = [f'{layer.name}: {note}' for layer in table if (note := describe.unread_note(layer))]
    if not notes:
        return ''
    listed = '; '.join(notes[:8]) + (f'; and {len(notes) - 8} more' if len(notes) > 8 else '')
    return f'<p class="note" style="margin-top:10px">* {escape(listed)}.</p>'


def settings(run: Run) -> str:
    """What made this run, and the command that repeats it."""
    options, versions = (dict(run.config.get(name) or {}) for name in ('options', 'versions'))
    skipped = {'options', 'versions', 'class_names'}
    rest = {name: value for name, value in run.config.items() if name not in skipped}
    tables = [_settings('Run', rest), _settings('Options', options), _settings('Versions', versions)]
    return (
        f'<section><h2>Settings</h2><p class="note">This command repeats the run:</p>'
        f'<pre>{escape(command(run.config))}</pre><div class="settings">{"".join(tables)}</div></section>'
    )


def _settings(title: str, values: Mapping[str, Any]) -> str:
    rows = [
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(_shown(value))}</td></tr>'
        for name, value in values.items()
    ]
    return (
        f'<div class="scroll"><table><caption>{title}</caption><tbody>{"".join(rows)}</tbody></table></div>'
        if rows
        else ''
    )


def _shown(value: Any) -> str:
    return ', '.join(map(str, value)) if isinstance(value, (list, tuple)) else 'none' if value is None else str(value)


def command(config: Mapping[str, Any]) -> str:
    """The command line that repeats a run, one flag a line."""
    parts = ['python -m cnn_jax.main', f'--experiment={config.get("experiment", "NAME")}']
    for name, value in (config.get('options') or {}).items():
        text = ','.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        parts.append(f'--config.{name}={text}')
    parts += [f'--seed={config["seed"]}'] if 'seed' in config else []
    return ' \\\n    '.join([parts[0], *map(shlex.quote, parts[1:])])
