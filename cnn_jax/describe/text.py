"""The layer table as text, and the lecture's size formula of each convolution and pool."""

from collections.abc import Sequence
from math import floor

from cnn_jax.describe.fit import Fit
from cnn_jax.describe.layers import Layer

_MOST_NOTES = 12  # layers whose unread inputs are explained one by one


def short_shape(shape: Sequence[int]) -> str:
    """(28, 28, 6) as '28x28x6'; '-' for a layer that is not called."""
    return 'x'.join(map(str, shape)) if shape else '-'


def short_pair(pair: tuple[int, int] | None, unknown: str = '?') -> str:
    """(5, 5) as '5', (5, 3) as '5x3'."""
    if pair is None:
        return unknown
    return str(pair[0]) if pair[0] == pair[1] else f'{pair[0]}x{pair[1]}'


def short_bytes(count: int) -> str:
    """18816 as '18.8 kB'."""
    for unit, size in (('GB', 10**9), ('MB', 10**6), ('kB', 10**3)):
        if count >= size:
            return f'{count / size:.1f} {unit}'
    return f'{count} B'


def field_cells(layer: Layer) -> tuple[str, str]:
    """Receptive field and stride of a layer in words: '?' where there is no rule, '-' where there is nothing to say."""
    if not layer.output_shape:
        return '-', '-'
    has_neighbours = len(layer.output_shape) == 3 and layer.output_shape[:2] != (1, 1)
    return short_pair(layer.receptive_field), short_pair(layer.stride, '?' if has_neighbours else '-')


def formula(layer: Layer) -> str:
    """The size of a convolution's or pool's output, such as '(32 - 5 + 2*0)/1 + 1 = 28'; '' for other layers."""
    if layer.fits is None:
        return ''
    rows, columns = layer.fits
    return _formula(rows) if rows == columns else f'{_formula(rows)}; {_formula(columns)}'


def _formula(fit: Fit) -> str:
    before, after = fit.padding
    padding = f'2*{before}' if before == after else f'({before}+{after})'
    window = str(fit.window) if fit.dilation == 1 else f'({fit.dilation}*({fit.window}-1)+1)'
    places = f'{fit.places:g}' if fit.places == floor(fit.places) else f'{fit.places:.4g} -> {floor(fit.places)}'
    return f'({fit.size} - {window} + {padding})/{fit.stride} + 1 = {places}'


def unread_note(layer: Layer) -> str:
    """What a convolution or pool leaves unread, and why; '' if it reads everything."""
    if layer.fits is None or layer.unread == (0, 0):
        return ''
    fit = max(layer.fits, key=lambda fit: fit.unread)
    inputs, padding = fit.unread
    gaps = fit.stride > fit.window
    why = f'stride {fit.stride} is more than the window of {fit.window}' if gaps else _formula(fit)
    parts = [f'{inputs} of {fit.size} rows and columns'] if inputs else []
    parts += [f'{padding} of {sum(fit.padding)} of the padding'] if padding else []
    return f'{" and ".join(parts)} unread: {why}'


def visible_layers(layers: Sequence[Layer], depth: int | None = 1) -> list[Layer]:
    """The layers down to a depth of nesting; None: all."""
    return [layer for layer in layers if depth is None or layer.depth <= depth]


def format_table(layers: Sequence[Layer], *, depth: int | None = 1, formula: bool = False) -> str:
    """The table as text of about 100 columns at most, with totals and notes.

    depth: 1 shows what the model calls itself (layers, blocks), 2 what is inside the blocks too, None everything.
    formula: the size formula of each convolution and pool, at any depth, instead of stride and memory.
    """
    depth = None if formula else depth
    head = ['layer', 'output', 'parameters', 'MACs', 'receptive field']
    rows = [head + (['size of the output'] if formula else ['stride', 'memory'])]
    for layer in visible_layers(layers, depth):
        name = '  ' * (layer.depth - 1) + layer.name + _star(layer, layers, depth)
        cells = [
            name,
            short_shape(layer.output_shape),
            f'{layer.parameters:,}',
            f'{layer.macs:,}',
            field_cells(layer)[0],
        ]
        rows.append(
            cells + (_formula_cells(layer) if formula else [field_cells(layer)[1], short_bytes(layer.activation_bytes)])
        )
    top = visible_layers(layers, 1)
    parameters, macs, memory, constants = (
        sum(getattr(layer, name) for layer in top) for name in ('parameters', 'macs', 'activation_bytes', 'constants')
    )
    total = ['total', '', f'{parameters:,}', f'{macs:,}', '']
    rows.append(total + ([''] if formula else ['', short_bytes(memory)]))
    lines = _align(rows, left=(0, 5) if formula else (0,))
    return '\n'.join([*lines, '', *_notes(layers, constants, formula)])


def _formula_cells(layer: Layer) -> list[str]:
    return [formula(layer)]


def _star(layer: Layer, layers: Sequence[Layer], depth: int | None) -> str:
    hidden = not layer.leaf and layer.depth == depth
    inside = [other for other in layers if other.name.startswith(layer.name + '/')] if hidden else [layer]
    return ' *' if any(unread_note(other) for other in inside) else ''


def _align(rows: list[list[str]], left: Sequence[int]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append('  '.join(cells).rstrip())
    rule = '-' * max(map(len, lines))
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def _notes(layers: Sequence[Layer], constants: int, formula: bool) -> list[str]:
    notes = [
        'For one image. MACs: multiply-adds of kernels. Receptive field: image pixels that a unit sees, with padding.'
    ]
    if not formula:
        notes.append('stride: image pixels from one unit to the next. memory: outputs of the layers.')
    if constants:
        notes.append(f'{constants:,} constants besides, which no optimizer trains (statistics, fixed centres).')
    if any(layer.output_shape and layer.receptive_field is None for layer in layers):
        notes.append('?: not known; a step of the model has no rule for receptive fields.')
    if any(not layer.output_shape for layer in layers):
        notes.append('-: has parameters, but is not called in evaluation.')
    unread = [(layer.name, note) for layer in layers if (note := unread_note(layer))]
    notes += [f'* {name}: {note}' for name, note in unread[:_MOST_NOTES]]
    if len(unread) > _MOST_NOTES:
        notes.append(f'* and {len(unread) - _MOST_NOTES} more layers')
    return notes
