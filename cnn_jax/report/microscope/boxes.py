"""What units see of an image, as boxes: many places at once, for a large net takes long to ask for each."""

from typing import Any

import numpy as np

from cnn_jax.tracing import receptive_field
from cnn_jax.tracing.centres import centres_of
from cnn_jax.tracing.fields import Field

FEW = 64  # places that are asked for one by one


def boxes_of(
    model: Any, variables: Any, input_shape: tuple[int, int, int], layer: str, places: np.ndarray
) -> np.ndarray:
    """The smallest box around what the units at some places see, (places, 4): top, left, bottom, right, ends exclusive.

    Many places are computed from the size and the steps of the receptive field, where that gives what the net itself
    tells at the places nearest to the corners and to the middle.

    places: (places, 2), row and column in the map.
    """
    seen = receptive_field.seen_by(model, variables, input_shape, layer)
    distinct, number = np.unique(places, axis=0, return_inverse=True)
    if len(distinct) > FEW:
        found = _regular(model, variables, input_shape, layer, distinct)
        if found is not None and all(
            seen.box(*distinct[one].tolist()) == tuple(found[one]) for one in _extremes(distinct)
        ):
            return found[number.reshape(-1)]
    return np.array([seen.box(row, column) for row, column in distinct.tolist()])[number.reshape(-1)]


def _extremes(places: np.ndarray) -> list[int]:
    """The places nearest to the four corners, and the one nearest to the middle."""
    rows, columns = places[:, 0], places[:, 1]
    corners = [
        (rows + columns).argmin(),
        (rows + columns).argmax(),
        (rows - columns).argmin(),
        (rows - columns).argmax(),
    ]
    middle = np.abs(places - np.median(places, axis=0)).sum(1).argmin()
    return [int(one) for one in (*corners, middle)]


def _regular(
    model: Any, variables: Any, input_shape: tuple[int, int, int], layer: str, places: np.ndarray
) -> np.ndarray | None:
    """The same by arithmetic; None where the field is not known, or is not that of a map."""
    field = receptive_field.field_of(model, variables, input_shape, layer)
    centres = centres_of(model, variables, input_shape, layer)
    if not isinstance(field, Field) or centres is None:
        return None
    sides = []
    for axis, middles in enumerate((centres.rows, centres.columns)):
        half = (field.size[axis] - 1) / 2
        middle = middles[places[:, axis]]
        sides.append(np.clip([middle - half, middle + half + 1], 0, input_shape[axis]).astype(int))
    (top, bottom), (left, right) = sides
    return np.stack([top, left, bottom, right], 1)
