"""What every layer makes of one image: the wall of its channels."""

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize import figure as drawing
from cnn_jax.visualize.engine import scores
from cnn_jax.visualize.filters import tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 16


def visualize(
    model: Any, variables: Any, *, images: Any, layer: str | None = None, deep: bool = False
) -> dict[str, np.ndarray]:
    """Returns the output of every layer for the first image, after its activation, by layer name: (height, width,
    channels), or (units,).

    images: model inputs, (batch, height, width, channels). layer: only this one. deep: layers inside blocks too.

    Raises: CnnJaxError for an unknown layer.
    """
    images = scores.check_images(images)[:1]
    net = scores.net_of(model, variables, images)
    names = [net.layer(layer).name] if layer else [name for name in net.layers if deep or '/' not in name]
    if not names:
        raise CnnJaxError('feature_maps: the model calls no named layers')
    outputs = scores.read(model, variables, images, tuple(names))
    return {name: np.asarray(output[0]) for name, output in zip(names, outputs, strict=True)}


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, most_channels: int = 48) -> 'Figure':
    """A strip of maps for each layer, at most `most_channels`, on a scale of its own that is centred on zero."""
    heights = [0.62 + 0.42 * ceil(min(a.shape[-1], most_channels) / _COLUMNS) if a.ndim == 3 else 0.7
               for a in arrays.values()]  # fmt: skip
    with drawing.style():
        figure = drawing.new_figure(width, sum(heights))
        panels = figure.subplots(len(arrays), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, values) in zip(panels, arrays.items(), strict=True):
            limit = float(np.abs(values).max(initial=0)) or 1.0
            picture, count = _picture(values, most_channels)
            shape = 'x'.join(map(str, values.shape))
            state = '' if np.any(values) else ', zero everywhere'
            shown = f', the first {count} channels' if values.ndim == 3 and count < values.shape[-1] else ''
            axes.set_title(f'{name}  {shape}{shown}{state}')
            axes.set_axis_off()
            aspect = 'equal' if values.ndim == 3 else 'auto'
            image = axes.imshow(
                picture, cmap=drawing.diverging(), vmin=-limit, vmax=limit, interpolation='nearest', aspect=aspect
            )
            drawing.color_bar(figure, image, axes, '')
    return figure


def _picture(values: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    if values.ndim != 3:
        return values.reshape(1, -1), values.size
    maps = values[..., :most].transpose(2, 0, 1)
    empty = np.full((-len(maps) % _COLUMNS, *maps.shape[1:]), np.nan, maps.dtype)  # so that all strips are as wide
    return tile(np.concatenate([maps, empty]), columns=_COLUMNS), len(maps)
