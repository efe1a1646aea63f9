"""What every layer makes of one image: the wall of its channels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import tile
from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import scores

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
    strips = {name: _picture(values, most_channels) for name, values in arrays.items()}
    across = width - 0.75  # inches, without the colour-bars
    heights = [
        across * picture.shape[0] / picture.shape[1] if arrays[name].ndim == 3 else 0.4
        for name, (picture, _) in strips.items()
    ]
    with drawing.style():
        figure = drawing.new_figure(width, sum(max(height, 0.4) + 0.34 for height in heights) + 0.05, layout=None)
        whole, top = figure.get_figheight(), 0.0
        for (name, (picture, count)), height in zip(strips.items(), heights, strict=True):
            top += 0.27
            rows = 1 - (top + height) / whole, height / whole
            axes = figure.add_axes((0.05 / width, rows[0], across / width, rows[1]))
            limit = float(np.abs(arrays[name]).max(initial=0)) or 1.0
            axes.set_title(_title(name, arrays[name], count), pad=3)
            axes.set_axis_off()
            image = axes.imshow(
                picture, cmap=drawing.diverging(), vmin=-limit, vmax=limit, interpolation='nearest', aspect='auto'
            )
            beside = figure.add_axes(((across + 0.12) / width, 1 - (top + max(height, 0.4)) / whole, 0.08 / width,
                                      max(height, 0.4) / whole))  # fmt: skip
            bar = figure.colorbar(image, cax=beside, ticks=[-limit, 0, limit], format='%.3g')
            bar.ax.tick_params(labelsize=7)
            bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
            top += max(height, 0.4) + 0.07
    return figure


def _title(name: str, values: np.ndarray, count: int) -> str:
    shape = 'x'.join(map(str, values.shape))
    state = '' if np.any(values) else ', zero everywhere'
    return f'{name}  {shape}' + (f', the first {count} channels' if count < values.shape[-1] else '') + state


def _picture(values: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    if values.ndim != 3:
        return values.reshape(1, -1), values.shape[-1]
    maps = values[..., :most].transpose(2, 0, 1)
    empty = np.full((-len(maps) % _COLUMNS, *maps.shape[1:]), np.nan, maps.dtype)  # so that all strips are as wide
    return tile(np.concatenate([maps, empty]), columns=_COLUMNS), len(maps)
