"""The weights of convolutions as pictures: first-layer filters in a grid, deeper kernels as tiles.

Smooth filters are a sign of convergence, noisy ones of too little training or regularisation (CS231n).
"""

import re
from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import tile
from cnn_jax.drawing.text import wrapped
from cnn_jax.errors import CnnJaxError, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def visualize(
    model: Any,
    variables: Mapping[str, Any],
    *,
    layer: str | None = None,
    most_filters: int = 64,
    most_inputs: int = 16,
    scale: Literal['shared', 'each'] = 'shared',
    fold_norm: bool = False,
    epsilon: float = 1e-5,
) -> dict[str, np.ndarray]:
    """Returns the filters of one convolution and a picture of them, on a scale that is centred on zero.

    model: not looked at. variables: of any Linen model. layer: its path joined by '/'; None: the first convolution that
    reads an image (1 or 3 channels), by name. The picture has at most `most_filters` filters and `most_inputs` inputs.
    scale: one for all filters, or each divided by its largest magnitude, which hides how strong it is. fold_norm: times
    what the batch normalisation after it (`conv` and `norm` of a `ConvNorm`) makes of it, scale / sqrt(var + epsilon).

    Returns `layer`; `folded`; `filters` (filters, height, width, inputs), raw; `limit`, the largest magnitude of what
    is shown; `picture`: (rows, columns, 3) in 0 .. 1 for colour filters, where 0.5 is no weight, else (rows,
    columns) of raw weights, with a column of tiles for each filter and a row for each input where there are several.
    Gaps between tiles are NaN. With `scale='each'` the picture is of shares, the limit 1, and `limits` holds the
    largest magnitude of each filter.

    Raises: CnnJaxError if there is no such layer, it has no kernel (height, width, in, out), or no norm to fold.
    """
    del model
    kernels = convolution_kernels(variables)
    if not kernels:
        raise CnnJaxError('visualize filters: the model has no kernel (height, width, in, out)')
    layer = f'{layer}/conv' if layer not in kernels and f'{layer}/conv' in kernels else layer
    if layer is not None and layer not in kernels:
        raise CnnJaxError(unknown('convolution', layer, kernels))
    reading_images = [name for name, kernel in kernels.items() if kernel.shape[2] in (1, 3)]
    name = layer or (reading_images or list(kernels))[0]
    filters = np.asarray(kernels[name], np.float32).transpose(3, 0, 1, 2)  # (filters, height, width, inputs)
    if fold_norm:
        filters = filters * _norm_factor(variables, name, epsilon).reshape(-1, 1, 1, 1)
    shown = filters[:most_filters]
    if filters.shape[-1] != 3:
        shown = shown[..., :most_inputs]
    limit = float(np.max(np.abs(shown), initial=0.0, where=np.isfinite(shown)))
    arrays = {'filters': filters, 'limit': np.array(limit), 'layer': np.array(name), 'folded': np.array(fold_norm)}
    if scale == 'each':
        limits = np.max(np.abs(shown), axis=(1, 2, 3), keepdims=True, initial=0.0, where=np.isfinite(shown))
        arrays |= {'limits': limits.ravel(), 'limit': np.array(1.0 if limit else 0.0)}
        shown, limit = shown / np.where(limits > 0, limits, 1), 1.0
    return {**arrays, 'picture': _picture(shown, limit or 1.0)}


def _norm_factor(variables: Mapping[str, Any], name: str, epsilon: float) -> np.ndarray:
    """What the normalisation beside a convolution multiplies its outputs by, (filters,)."""
    *parents, own = name.split('/')
    try:
        learned, running = variables['params'], variables['batch_stats']
        for parent in parents:
            learned, running = learned[parent], running[parent]
        scale, var = learned['norm']['scale'], running['norm']['var']
    except KeyError:
        raise CnnJaxError(f'fold_norm: no batch normalisation `norm` beside {name}; leave it out') from None
    if own != 'conv':
        raise CnnJaxError(f'fold_norm: {name} is not the convolution of a ConvNorm; leave it out')
    return np.asarray(scale) / np.sqrt(np.asarray(var) + epsilon)


def _picture(filters: np.ndarray, limit: float) -> np.ndarray:
    count, _, _, inputs = filters.shape
    if inputs == 3:
        return tile(0.5 + filters / (2 * limit), columns=_columns(count))
    if inputs == 1:
        return tile(filters[..., 0], columns=_columns(count))
    return tile(filters.transpose(3, 0, 1, 2).reshape(-1, *filters.shape[1:3]), columns=count)


def _columns(count: int) -> int:
    """About twice as many as rows; all in one row if they are few."""
    return count if count <= 8 else ceil(sqrt(2 * count))


def convolution_kernels(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The kernels (height, width, in, out) of a model by layer name; names with numbers in the order of the numbers."""
    kernels = {}
    for tree in variables.values():
        for path, leaf in jax.tree.leaves_with_path(tree):
            *layer, name = (str(getattr(key, 'key', key)) for key in path)
            if name == 'kernel' and leaf.ndim == 4:
                kernels['/'.join(layer)] = leaf
    return {name: kernels[name] for name in sorted(kernels, key=_by_number)}


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'(\d+)', name)]


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """Draws what `visualize` returns, with a colour-bar; `width` in inches."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    picture, limit = arrays['picture'], float(arrays['limit']) or 1.0
    in_color = picture.ndim == 3
    rows, columns = picture.shape[:2]
    height = min((width - 1.2) * rows / columns, width)
    with drawing.style():
        figure = drawing.new_figure(width, max(height, 1.4) + 0.4)
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_title('\n'.join(wrapped(_title(arrays), width - 1.3, 10)))
        colors, norm = ('gray' if in_color else drawing.diverging()), Normalize(-limit, limit)
        axes.imshow(_with_gaps(picture) if in_color else picture, cmap=colors, norm=norm, interpolation='nearest')
        drawing.color_bar(
            figure,
            ScalarMappable(norm, colors),
            axes,
            'share of its largest weight' if 'limits' in arrays else 'weight',
        )
    return figure


def _title(arrays: Mapping[str, np.ndarray]) -> str:
    count, height, width, inputs = arrays['filters'].shape
    scale = 'each on a scale of its own' if 'limits' in arrays else 'one scale for all'
    norm = ', BatchNorm folded in' if arrays['folded'] else ''
    several = ', a row for each input' if inputs not in (1, 3) else ''
    return f'{arrays["layer"]}: {count} filters of {height}x{width}x{inputs}{several}; {scale}{norm}'


def _with_gaps(picture: np.ndarray) -> np.ndarray:
    """RGB with NaN as RGBA with nothing there."""
    there = np.isfinite(picture).all(-1, keepdims=True)
    return np.concatenate([np.clip(np.nan_to_num(picture), 0, 1), there], axis=-1)


def caption(arrays: Mapping[str, np.ndarray], layer: Sequence[str] | str = '') -> str:
    """What is in the picture, in one sentence."""
    count, height, width, inputs = arrays['filters'].shape
    scale = f'one scale for all, from {-arrays["limit"]:.3g} to {arrays["limit"]:.3g}'
    if 'limits' in arrays:
        scale = f'each on a scale of its own, {arrays["limits"].min():.3g} to {arrays["limits"].max():.3g} at its ends'
    if inputs == 3:
        return f'{count} filters of {layer}, {height}x{width} pixels in colour, where grey is no weight: {scale}.'
    if inputs == 1:
        return f'{count} filters of {layer}, {height}x{width} pixels: {scale}.'
    what = f'a column is one of {count} filters, a row one of {inputs} inputs'
    return f'Kernels of {layer}, {height}x{width}: {what}; {scale}.'
