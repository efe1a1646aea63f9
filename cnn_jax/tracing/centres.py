"""Where the units of a layer look: the middles of their receptive fields on the image."""

import functools
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.tracing import receptive_field
from cnn_jax.tracing.fields import Field
from cnn_jax.tracing.static import Shapes, Static, shapes_of, with_shapes


class Centres(NamedTuple):
    """The middles of what a layer's units see, in pixels of the image, where pixel 0 has its middle at 0.

    They may lie outside the image where padding is seen.
    """

    rows: np.ndarray  # (rows of units,)
    columns: np.ndarray  # (columns of units,)
    axes: tuple[int, int]  # of the layer's output (batch, ...) that are its rows and its columns


def centres_of(model: Any, variables: Any, image_shape: tuple[int, ...], layer: str) -> Centres | None:
    """The centres of a layer's units, remembered; only shapes are looked at.

    None where they are not known, or where all units see the same (attention, a gate that reads a mean of all).

    Raises: CnnJaxError for an unknown layer.
    """
    return _centres(Static(model), shapes_of(variables), tuple(image_shape), layer)


@functools.lru_cache(maxsize=64)
def _centres(static: Static, shapes: Shapes, image_shape: tuple[int, ...], layer: str) -> Centres | None:
    field = receptive_field.field_of(static.model, with_shapes(shapes), image_shape, layer)
    if not isinstance(field, Field):
        return None
    down, across = (_along(field, side) for side in (0, 1))
    if down is None or across is None:
        return None
    (first, rows), (second, columns) = down, across
    return Centres(rows, columns, (first, second)) if first != second else None


def _along(field: Field, side: int) -> tuple[int, np.ndarray] | None:
    """The axis that moves over the image's rows (side 0) or columns (1), and the centres along it."""
    steps = [(axis, [factor for factor in factors if factor[1 + side]]) for axis, factors in enumerate(field.axes)]
    moving = [(axis, factors[0]) for axis, factors in steps if len(factors) == 1 and len(field.axes[axis]) == 1]
    if len(moving) != 1 or sum(map(bool, (factors for _, factors in steps))) != 1:
        return None
    axis, factor = moving[0]
    middle = (field.low[side] + field.high[side]) / 2
    return axis, middle + factor[1 + side] * np.arange(factor.size)
