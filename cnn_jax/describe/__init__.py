"""The layer table of a model: shapes, parameters, multiply-adds and receptive fields, without running it."""

from cnn_jax.describe.difference import format_difference
from cnn_jax.describe.fit import Fit
from cnn_jax.describe.layers import Layer, layer_table
from cnn_jax.describe.text import field_cells, format_table, formula, short_bytes, short_shape, unread_note

__all__ = [
    'Fit',
    'Layer',
    'field_cells',
    'format_difference',
    'format_table',
    'formula',
    'layer_table',
    'short_bytes',
    'short_shape',
    'unread_note',
]
