"""The frequencies that the filters of a convolution pass: the magnitudes of their Fourier transforms.

Blurring filters are bright in the middle, where the frequency is 0; filters of edges are dark there.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.visualize.filters import visualize as filters_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def visualize(
    model: Any, variables: Mapping[str, Any], *, layer: str | None = None, most_filters: int = 16, size: int = 16
) -> dict[str, np.ndarray]:
    """Returns `spectra` (filters, size, size), 0 or more, the frequency 0 in the middle; and `layer`, its name.

    layer: None: the first convolution that reads an image. A filter's spectrum is the mean over its inputs.

    Raises: CnnJaxError if there is no such layer.
    """
    found = filters_of(model, variables, layer=layer)
    filters = found['filters'][:most_filters]  # (filters, height, width, inputs)
    spectra = np.abs(np.fft.fftshift(np.fft.fft2(filters, (size, size), axes=(1, 2)), axes=(1, 2))).mean(-1)
    return {'spectra': spectra.astype(np.float32), 'layer': found['layer']}


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """Draws what `visualize` returns; `width` in inches."""
    spectra = arrays['spectra']
    picture = drawing.tile(spectra, columns=8)
    with drawing.style():
        figure = drawing.new_figure(width, width * picture.shape[0] / picture.shape[1] + 0.5)
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_title(f'{arrays["layer"]}: spectra of {len(spectra)} filters')
        axes.imshow(picture, cmap='gray', vmin=0, interpolation='nearest')
    return figure
