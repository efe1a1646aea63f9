"""What differs between two models: their fields, and their layers by name."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn

from cnn_jax.describe.layers import Layer
from cnn_jax.describe.text import short_shape

_FLAX_FIELDS = ('parent', 'name')


def format_difference(
    names: tuple[str, str], models: tuple[nn.Module, nn.Module], tables: tuple[Sequence[Layer], Sequence[Layer]]
) -> str:
    """The fields and layers in which two models differ, as text.

    names: of the two. tables: their layer tables (`layer_table`), in the same order.
    """
    rows = [('', *names), *_field_rows(*models), *_layer_rows(*tables)]
    if len(rows) == 1:
        return f'{names[0]} and {names[1]} do not differ'
    rows.append(('total', _totals(tables[0]), _totals(tables[1])))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _field_rows(one: nn.Module, other: nn.Module) -> list[tuple[str, str, str]]:
    def fields(model: nn.Module) -> dict[str, Any]:
        return {
            field.name: getattr(model, field.name)
            for field in dataclasses.fields(model)
            if field.name not in _FLAX_FIELDS
        }

    here, there = fields(one), fields(other)
    return [
        (name, _short(here.get(name, '-')), _short(there.get(name, '-')))
        for name in {**here, **there}
        if here.get(name, '-') != there.get(name, '-')
        and not callable(here.get(name))
        and not callable(there.get(name))
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + '...'


def _layer_rows(one: Sequence[Layer], other: Sequence[Layer]) -> list[tuple[str, str, str]]:
    here, there = ({layer.name: layer for layer in table} for table in (one, other))
    return [
        (name, _describe(here.get(name)), _describe(there.get(name)))
        for name in {**here, **there}
        if _describe(here.get(name)) != _describe(there.get(name))
    ]


def _describe(layer: Layer | None) -> str:
    """Output, parameters and multiply-adds of a layer, without those that are zero."""
    if layer is None:
        return '-'
    parts = [f'{layer.parameters:,} parameters'] * (layer.parameters > 0) + [f'{layer.macs:,} MACs'] * (layer.macs > 0)
    return ', '.join([f'{layer.kind} {short_shape(layer.output_shape)}', *parts])


def _totals(table: Sequence[Layer]) -> str:
    top = [layer for layer in table if layer.depth == 1]
    return f'{sum(layer.parameters for layer in top):,} parameters, {sum(layer.macs for layer in top):,} MACs'
