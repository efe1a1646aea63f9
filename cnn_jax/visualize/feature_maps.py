"""What every layer makes of one image: the wall of its channels."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import tile
from cnn_jax.drawing.sheet import Sheet
from cnn_jax.drawing.text import SMALLEST, height_of, wrapped
from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 16


def visualize(
    model: Any, variables: Any, *, images: Any, layer: str | None = None, deep: bool = False
) -> dict[str, np.ndarray]:
    """Returns the output of every layer for the first image, after its activation, by layer name: (height, width,
    channels), or (units,). A layer that runs on several views of the image has no output of its own, and is left out.

    images: model inputs, (batch, height, width, channels). layer: only this one. deep: layers inside blocks too.

    Raises: CnnJaxError for an unknown layer.
    """
    images = scores.check_images(images)[:1]
    net = scores.net_of(model, variables, images)
    named = [one for one in net.layers.values() if (deep or '/' not in one.name) and len(one.shape) > 1]
    names = [net.layer(layer).name] if layer else [one.name for one in named if one.batched]
    if named and not names:
        net.output(named[-1].name)  # which says why not
    if not names:
        raise CnnJaxError('feature_maps: the model calls no named layers')
    outputs = scores.read(model, variables, images, tuple(names))
    return {name: np.asarray(output[0]) for name, output in zip(names, outputs, strict=True)}


def draw(
    arrays: Mapping[str, np.ndarray],
    *,
    width: float = 8.0,
    most_channels: int = 48,
    pixels: np.ndarray | None = None,
    titles: Sequence[str] = (),
) -> 'Figure':
    """The image, then a strip of maps for each layer, at most `most_channels`, on a scale of its own.

    pixels: the images, uint8 (batch, height, width, channels), of which the first one is shown; titles: of them.
    """
    across = width - 1.0  # inches, without the colour-bars
    strips = [_Strip(name, values, *_picture(values, most_channels)) for name, values in arrays.items()]
    shares = [strip.picture.shape[0] / strip.picture.shape[1] * (strip.values.ndim == 3) for strip in strips]
    heights = [max(across * share, 0.4) for share in shares]  # a vector is a thin strip, however short
    said = wrapped(f'what the layers make of {titles[0] if titles else "the image"}', across, 10)
    head = height_of(len(said), 10) + height_of(1, SMALLEST) + 0.12
    seen = 1.1 if pixels is not None else 0.0  # the height of the image
    with drawing.style():
        sheet = Sheet(width, head + seen + sum(height + 0.37 for height in heights) + 0.05)
        below = 0.06 + sheet.write(0.05, 0.06, said, 10)
        sheet.write(0.05, below, ['colours: activation, on a scale for each layer'], SMALLEST, color=drawing.MUTED)
        if pixels is not None:
            _, high, wide, _ = pixels.shape
            size = min(seen / high, across / wide)  # inches a pixel
            sheet.picture(0.05, head, size * wide, size * high, pixels[0])
        top = head + seen
        for strip, height in zip(strips, heights, strict=True):
            sheet.write(0.05, top + 0.08, [_title(strip.name, strip.values, strip.count)], 9)
            top += 0.28
            scale = drawing.scale_of(strip.values)
            scale = scale._replace(colors=scale.colors.with_extremes(bad=drawing.PAPER))  # between maps
            sheet.picture(0.05, top, across, height, strip.picture, scale)
            sheet.bar(across + 0.15, top, height, scale, 'activation' if height > 0.6 else '')
            top += height + 0.09
    return sheet.figure


class _Strip(NamedTuple):
    name: str
    values: np.ndarray
    picture: np.ndarray
    count: int  # of the channels that are shown


def _title(name: str, values: np.ndarray, count: int) -> str:
    shape = 'x'.join(map(str, values.shape))
    state = '' if np.any(values) else ', zero everywhere'
    state = state if np.isfinite(values).all() else ', not finite'
    return f'{name}  {shape}' + (f', the first {count} channels' if count < values.shape[-1] else '') + state


def _picture(values: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    if values.ndim != 3:
        return values.reshape(1, -1), values.shape[-1]
    maps = values[..., :most].transpose(2, 0, 1)
    empty = np.full((-len(maps) % _COLUMNS, *maps.shape[1:]), np.nan, maps.dtype)  # so that all strips are as wide
    return tile(np.concatenate([maps, empty]), columns=_COLUMNS), len(maps)
