"""The sections of the page as HTML. Every text that comes from a run is escaped here."""

from collections.abc import Sequence

from cnn_jax.describe import Layer
from cnn_jax.drawing import page
from cnn_jax.drawing.page import figure_html, section
from cnn_jax.drawing.words import capitalised, duration, percent, short_count, times
from cnn_jax.report import figures
from cnn_jax.statistics.metric import LOSS
from cnn_jax.tasks.run import Run
from cnn_jax.visualize import filters


def kind(run: Run) -> str:
    """The line above the title."""
    parts = [
        'Training run',
        f'data: {run.config["data"]}' if 'data' in run.config else '',
        str(run.config.get('started', '')),
    ]
    return ' · '.join(part for part in parts if part)


def result(run: Run, model: str) -> str:
    """The result in one sentence."""
    steps, seconds = run.last('step'), run.last('seconds')
    took = None if steps is None or seconds is None else duration(seconds)
    value = run.task.result(run)
    if not value:
        trained = '' if steps is None else f' for {steps:,} steps' + (f' in {took}' if took else '')
        return f'{model} was trained{trained} and not evaluated on test images.'
    after = '' if steps is None else f' after {steps:,} steps' + (f' and {took} of training' if took else '')
    return f'{model} {value}{after}.'


def footer(run: Run) -> str:
    """Where the numbers are."""
    return f'The pictures and their numbers are in {run.workdir.name}/figures, as .png and .npz with the same names.'


def cards(run: Run, layers: Sequence[Layer]) -> str:
    """The numbers that matter most."""
    top = [layer for layer in layers if layer.depth == 1]
    parameters, macs, constants = (
        sum(getattr(layer, name) for layer in top) for name in ('parameters', 'macs', 'constants')
    )
    rows = [*run.task.cards(run), *_loss_card(run), *_choosing_card(run), *_time_card(run)]
    besides = [f'{parameters:,}'] if parameters >= 1e7 else []
    besides += [f'and {constants:,} constants'] if constants else []
    rows.append(('Parameters', short_count(parameters), ' '.join(besides) or 'trained numbers'))
    rows.append(('Multiply-adds', short_count(macs), 'for one image'))
    rows += _device_card(run)
    return page.cards(rows)


def _loss_card(run: Run) -> list[tuple[str, str, str]]:
    test, train = (run.last('loss', split) for split in ('test', 'train'))
    if test is None:
        return []
    return [('Test loss', f'{test:.4f}', '' if train is None else f'training batches {train:.4f}')]


def _choosing_card(run: Run) -> list[tuple[str, str, str]]:
    """What choices were made by, where images were held out for that."""
    headline, tested = run.task.headline, run.last('step', 'test')
    lines = [line for line in run.metrics if line['split'] == 'validation' and tested in (None, line['step'])]
    value = lines[-1].get(headline.name) if lines else None
    if value is None:
        return []
    shown = percent(value) if headline.unit == 'points' else headline.show(value)
    return [(f'Validation {headline.title}', shown, 'on images held out of training')]


def openings(run: Run) -> str:
    """How often the test split was looked at, as a sentence; '' where that is not known."""
    count = len(run.config.get('test_openings', ()))
    return f'The test split was opened {times(count)}.' if count else ''


def _time_card(run: Run) -> list[tuple[str, str, str]]:
    seconds, rate = run.last('seconds'), run.last('images_per_second', 'train')
    if seconds is None:
        return []
    return [('Training time', duration(seconds), '' if rate is None else f'{_rate(rate)} images a second')]


def _rate(rate: float) -> str:
    return f'{rate:,.0f}' if rate >= 10 else f'{rate:.2g}'


def _device_card(run: Run) -> list[tuple[str, str, str]]:
    devices = run.config.get('devices')
    if not devices:
        return []
    if isinstance(devices, (list, tuple)) and len(devices) == 2:
        return [('Devices', f'{devices[0]}', str(devices[1]))]
    return [('Devices', str(devices), '')]


def curves(run: Run) -> str:
    """The loss and the headline metric over the steps, where that is another."""
    found = {metric.name: metric for metric in (LOSS, run.task.headline)}.values()
    drawn = [
        (
            one.title.replace(' ', '_'),
            capitalised(one.title),
            figures.curve(run, one.name, percent=one.unit == 'points'),
        )
        for one in found
    ]
    shown = [
        figure_html(run.workdir, f'curve_{name}', title, figure, run.record) for name, title, figure in drawn if figure
    ]
    return section('Learning curves', '', f'<div class="figures">{"".join(shown)}</div>') if shown else ''


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
