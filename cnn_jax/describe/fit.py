"""How the windows of a convolution or pool fit its input: the lecture's (N - F + 2P) / S + 1."""

from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np

from cnn_jax.ops import arguments
from cnn_jax.tracing import fields
from cnn_jax.tracing.calls import Call

Pair = tuple[int, int]


@dataclass(frozen=True)
class Fit:
    """A window on one image axis: `size` inputs, `window` of them read at once, windows `stride` apart."""

    size: int
    window: int
    stride: int = 1
    padding: Pair = (0, 0)  # before, after
    dilation: int = 1

    @property
    def places(self) -> float:
        """(N - F + 2P) / S + 1, which need not be whole: the output has the whole part of it."""
        return (self.size + sum(self.padding) - arguments.dilated(self.window, self.dilation)) / self.stride + 1

    @property
    def unread(self) -> Pair:
        """How many of the inputs, and of the padding around them, no window reads."""
        starts = np.arange(floor(self.places)) * self.stride - self.padding[0]
        read = np.unique(starts[:, None] + np.arange(self.window)[None] * self.dilation)
        inputs = int(np.sum((read >= 0) & (read < self.size)))
        return self.size - inputs, sum(self.padding) - (len(read) - inputs)


def map_steps(state: fields.State) -> Pair | None:
    """How far apart the units of a map (4 axes, two of them over the image) stand on the image."""
    if not isinstance(state, fields.Field) or len(state.axes) != 4:
        return None
    moving = [[f for f in axis if f.rows or f.columns] for axis in state.axes]
    rows, columns = ([axis[0][side] for axis in moving if len(axis) == 1 and axis[0][side]] for side in (1, 2))
    return (rows[0], columns[0]) if len(rows) == len(columns) == 1 == max(map(len, moving)) else None


def find_fits(call: Call) -> tuple[Fit, Fit] | None:
    """The window of a convolution or pool: as its module says, else as the fields of its input and output show."""
    if call.output is None or len(call.input_shape) != 3 or len(call.output.shape) != 3:
        return None
    first = 1 if getattr(call.module, 'data_format', '') == 'channels_first' else 0
    sizes, outputs = ((shape[first], shape[first + 1]) for shape in (call.input_shape, call.output.shape))
    for fits in (_declared_fits(call.module, sizes), _traced_fits(call, sizes)):
        if fits and tuple(floor(fit.places) for fit in fits) == outputs:
            return fits
    return None


def _declared_fits(module: Any, sizes: Pair) -> tuple[Fit, Fit] | None:
    def declared(*names: str) -> Any:
        values = [getattr(module, name) for name in names if getattr(module, name, None) is not None]
        return values[0] if values else None

    window = declared('kernel_size', 'window')
    if window is None:
        return None
    stride = declared('strides', 'stride') or (window if hasattr(module, 'window') else 1)
    dilation = declared('dilation_rate', 'kernel_dilation') or 1
    try:
        window, stride, dilation = (arguments.read_pair('', pair) for pair in (window, stride, dilation))
        pads = arguments.read_padding(declared('padding') or 0, sizes, window, stride, dilation)
    except (ValueError, TypeError):  # the names stand for something else, or for padding that no number describes
        return None
    rows, columns = map(Fit, sizes, window, stride, pads, dilation)
    return rows, columns


def _traced_fits(call: Call, sizes: Pair) -> tuple[Fit, Fit] | None:
    inner, outer = call.inner, call.outer
    before, after = map_steps(inner), map_steps(outer)
    if before is None or after is None or not isinstance(inner, fields.Field) or not isinstance(outer, fields.Field):
        return None
    fits = []
    for side, size in enumerate(sizes):
        window = (outer.size[side] - inner.size[side]) // before[side] + 1
        stride, padding = after[side] // before[side], (inner.low[side] - outer.low[side]) // before[side]
        fits.append(Fit(size, window, stride, (padding, padding)))
    forward = all(fit.stride > 0 and fit.padding[0] >= 0 for fit in fits)
    return (fits[0], fits[1]) if forward and any(fit.window > 1 or fit.stride > 1 for fit in fits) else None
