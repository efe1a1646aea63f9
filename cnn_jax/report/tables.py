"""The tables of the page, as HTML: layers and settings. Every text that comes from a run is escaped here."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cnn_jax import describe
from cnn_jax.describe import Layer
from cnn_jax.drawing.page import section
from cnn_jax.experiment_file import FROM_PYTHON

_MOST_NOTES = 8  # layers whose unread inputs are explained


def layers(table: Sequence[Layer]) -> str:
    """The layer table; blocks can be opened."""
    notes = (
        'Multiply-adds and memory are for one image. The receptive field is what a unit sees, in pixels of the image '
        'and with the padding; the stride is the distance between neighbouring units.'
    )
    shown = _layer_rows([layer for layer in table if layer.depth == 1], table)
    everything = ''
    if any(layer.depth > 1 for layer in table):
        title = f'All {len(table)} layers, inside blocks too'
        everything = f'<details><summary>{title}</summary>{_layer_rows(table, table)}</details>'
    return section('Layers', notes, f'{shown}{_unread(table)}{everything}')


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
    listed = [*notes[:_MOST_NOTES], *([f'and {len(notes) - _MOST_NOTES} more'] if len(notes) > _MOST_NOTES else [])]
    return f'<ul class="notes">{"".join(f"<li>* {escape(note)}</li>" for note in listed)}</ul>'


def settings(config: Mapping[str, Any]) -> str:
    """What made this run, and the command that repeats it."""
    options, files, versions = (dict(config.get(name) or {}) for name in ('options', 'experiment_files', 'versions'))
    skipped = {'options', 'experiment_files', 'versions', 'class_names', 'seals', 'test_openings'}
    rest = {name: value for name, value in config.items() if name not in skipped}
    tables = [values('Run', rest), values('Options', options)]
    tables += [values('Your own files', files), values('Versions', versions)]
    body = f'<pre>{escape(command(config))}</pre><div class="settings">{"".join(tables)}</div>'
    return section('Settings', 'This command repeats the run:', body)


def values(title: str, values: Mapping[str, Any]) -> str:
    """Names and values as a table; nothing where there are none."""
    rows = [
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(_shown(value))}</td></tr>'
        for name, value in values.items()
    ]
    caption = f'<caption>{escape(title)}</caption>' if title else ''
    return f'<div class="scroll"><table>{caption}<tbody>{"".join(rows)}</tbody></table></div>' if rows else ''


def _shown(value: Any) -> str:
    return ', '.join(map(str, value)) if isinstance(value, (list, tuple)) else 'none' if value is None else str(value)


def short_name(config: Mapping[str, Any], workdir: Path) -> str:
    """What a run is called: its experiment's name, of a path that of the file; else its work folder's."""
    name = str(config.get('experiment', workdir.name))
    return Path(name).stem if name.endswith('.py') else name


def command(config: Mapping[str, Any]) -> str:
    """The command line that repeats a run, one flag a line; of a run from Python, that there is none."""
    if config.get('experiment') == FROM_PYTHON:
        return 'None: the run was trained from Python, with an experiment that no file makes.'
    parts = ['python -m cnn_jax.main', f'--experiment={config.get("experiment", "NAME")}']
    for name, value in (config.get('options') or {}).items():
        text = ','.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        parts.append(f'--config.{name}={text}')
    parts += [f'--seed={config["seed"]}'] if 'seed' in config else []
    parts += [f'--fold={config["fold"]}'] if config.get('fold') else []
    parts += [f'--init_from={config["init_from"]}'] if config.get('init_from') else []
    return ' \\\n    '.join([parts[0], *map(shlex.quote, parts[1:])])
