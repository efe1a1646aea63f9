"""The kernels of layers, and which of them come into a unit with the most weight."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

MOST_INCOMING = 6  # kernels of a unit


class Incoming(NamedTuple):
    """The strongest kernels of each unit, by their norm.

    Attributes:
        kernels: (units, kernels, height, width).
        channels: (units, kernels), of the layer that they read.
        norms: (units, kernels).
        total: (units,), the norm of all kernels of the unit.
    """

    kernels: np.ndarray
    channels: np.ndarray
    norms: np.ndarray
    total: np.ndarray


def kernel_of(variables: Mapping[str, Any], layer: str, source: tuple[int, int, int] | None) -> np.ndarray | None:
    """The kernel of a layer as (height, width, inputs, units); None where it has none of its own.

    A dense layer that reads flattened maps of `source`, (height, width, channels), is a convolution as large as they.
    """
    node: Any = variables.get('params', {})
    for name in layer.split('/'):
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
    if isinstance(node, Mapping) and 'kernel' not in node:
        node = node.get('conv', {})
    kernel = node.get('kernel') if isinstance(node, Mapping) else None
    if kernel is None:
        return None
    kernel = np.asarray(kernel, np.float32)
    if kernel.ndim == 2:
        inputs, units = kernel.shape
        flat = source is not None and int(np.prod(source)) == inputs
        return kernel.reshape(*source, units) if source is not None and flat else kernel.reshape(1, 1, inputs, units)
    return kernel if kernel.ndim == 4 else None


def incoming(kernel: np.ndarray, most: int = MOST_INCOMING) -> Incoming:
    """The strongest kernels of each unit; kernel: (height, width, inputs, units)."""
    norms = np.sqrt((kernel.astype(np.float64) ** 2).sum((0, 1))).T  # (units, inputs)
    channels = np.argsort(-norms, axis=1, kind='stable')[:, :most]
    slices = kernel.transpose(3, 2, 0, 1)  # (units, inputs, height, width)
    chosen = np.take_along_axis(slices, channels[:, :, None, None], 1)
    return Incoming(chosen, channels, np.take_along_axis(norms, channels, 1), np.sqrt((norms**2).sum(1)))
