"""Maps of a layer as large as the image: at the places where the layer's units look, or stretched to it."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import centres, layers

Placed = Literal['fields', 'stretched']
"""Where the values of a map lie on the image: at the centres of the receptive fields of its units and interpolated
bilinearly between them; or on an even grid over the whole image, as captum, torchvision's tools and the papers' code
have it."""


def centres_for(
    model: Any, variables: Any, image_shape: tuple[int, ...], layer: str, placed: Placed
) -> centres.Centres | None:
    """Where the units look; None: the map is to be stretched, by `placed` or because nobody knows where they look.

    Raises: CnnJaxError for another value of `placed`.
    """
    if placed not in ('fields', 'stretched'):
        raise CnnJaxError(f"placed: {placed!r} given; it is 'fields' or 'stretched'")
    return centres.centres_of(model, variables, image_shape, layer) if placed == 'fields' else None


def described(model: Any, variables: Any, image_shape: tuple[int, ...], layer: str, placed: Placed) -> str:
    """Where the values of a map lie, in words."""
    if placed == 'stretched':
        return 'stretched to the image'
    found = centres.centres_of(model, variables, image_shape, layer)
    if found is None:
        return 'stretched: the receptive fields are not known'
    sides = zip((found.rows, found.columns), image_shape[:2], strict=True)
    is_blank = any(not between(places, length).any(1).all() for places, length in sides)
    return f'at the centres of receptive fields{"; blank where no unit looks" if is_blank else ""}'


def spatial_axes(net: layers.Net, layer: str, found: centres.Centres | None) -> tuple[int, int]:
    """The axes of a layer's output that are rows and columns: of NHWC, unless the fields say otherwise.

    Raises: CnnJaxError for a layer without maps.
    """
    shape = net.layer(layer).shape
    if len(shape) != 4:
        raise CnnJaxError(f'layer {layer!r} has no maps: its output is {shape}; give a convolution')
    return found.axes if found is not None else (1, 2)


def enlarged(maps: jax.Array, size: tuple[int, int], found: centres.Centres | None) -> jax.Array:
    """Maps (batch, rows, columns, 1) as (batch, height, width, 1); `found` None: stretched, bilinearly."""
    if found is None:
        return jax.image.resize(maps, (len(maps), *size, maps.shape[-1]), 'bilinear')
    down, across = (
        jnp.asarray(between(places, length), maps.dtype)
        for places, length in zip((found.rows, found.columns), size, strict=True)
    )
    return jnp.einsum('yr,brcn,xc->byxn', down, maps, across, precision='highest')


def between(places: np.ndarray, length: int) -> np.ndarray:
    """What each of `length` pixels has of the values at `places`, (length, places): linear between two neighbours.

    Beyond the outermost place a pixel has that value for half a step, which is the unit's own cell, and then nothing,
    because no unit looks there. On a LeNet-5 of the digits that puts 64 % of Grad-CAM's map on the ink; the outermost
    values drawn on to the edge 40 %, a stretched map 34 %.
    """
    pixels, order = np.arange(length), np.argsort(places)
    nearest = np.clip(pixels, places.min(), places.max())
    columns = [np.interp(nearest, places[order], one[order]) for one in np.eye(len(places))]
    step = float(np.ptp(places)) / (len(places) - 1) if len(places) > 1 else 2.0 * length
    return np.stack(columns, 1) * (np.abs(pixels - nearest) <= step / 2)[:, None]
