"""What usually goes wrong when weights move between libraries, as changes that can be tried."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from cnn_jax.weights.convert import flatten, unflatten

EPSILONS = (1e-3, 1e-5, 1e-6, 1.001e-5, 1e-4, 2e-5)  # torchvision's GoogLeNet, torch, Flax, Keras, others
FIELDS = ('padding', 'strides', 'stride', 'kernel_size', 'window', 'epsilon')

Fields = dict[str, dict[str, Any]]  # fields of modules to change, by module path
Suspect = tuple[str, Mapping[str, Any], Fields]  # what it is, the variables and the fields then


class Call(NamedTuple):
    """A module that was called: those of its fields that are tried here, and the shape of what it returned."""

    name: str
    fields: dict[str, Any]
    output_shape: tuple[int, ...]


def call_of(name: str, module: nn.Module, output_shape: tuple[int, ...]) -> Call:
    """The record of a call; it does not keep the module, which holds arrays of the trace."""
    return Call(name, {field: getattr(module, field) for field in FIELDS if hasattr(module, field)}, output_shape)


def suspects(
    window: list[Call], calls: list[Call], variables: Mapping[str, Any], image_channels: int
) -> Iterator[Suspect]:
    """The changes to try in the modules of `window`: in all that they fit, then in each alone where these are several.

    Args:
        window: the calls in which the cause must be.
        calls: all calls of the model, in the order in which they ended.
        variables: as they are.
        image_channels: of the model's images.
    """
    flat = flatten(variables)
    for what, change in _variable_changes(window, calls, image_channels):
        changed = {path: new for path, leaf in flat.items() if (new := change(path, np.asarray(leaf))) is not None}
        if changed:
            yield f'{what} ({_places(changed)})', unflatten({**flat, **changed}), {}
        if len(changed) > 1:
            for path, leaf in changed.items():
                yield f'{what} ({_places([path])})', unflatten({**flat, path: leaf}), {}
    for what, fields in _paddings(window):
        yield what, variables, fields


Change = Callable[[tuple[str, ...], np.ndarray], np.ndarray | None]  # None: it does not fit this variable


def _variable_changes(window: list[Call], calls: list[Call], image_channels: int) -> Iterator[tuple[str, Change]]:
    names = {call.name for call in window}

    def kernels(change: Callable[[np.ndarray], np.ndarray | None]) -> Change:
        def apply(path, leaf):
            return change(leaf) if path[-1] == 'kernel' and '/'.join(path[1:-1]) in names else None

        return apply

    yield 'kernel transposed, height and width exchanged', kernels(_exchange_axes)
    yield 'kernel flipped, convolution for cross-correlation', kernels(_flip)
    yield 'kernel transposed, in and out exchanged', kernels(_exchange_channels)
    yield (
        'channel order of the images, RGB and BGR exchanged',
        kernels(lambda kernel: kernel[:, :, ::-1] if kernel.ndim == 4 and kernel.shape[2] == image_channels else None),
    )
    yield from _flatten_orders(window, calls)
    for epsilon in EPSILONS:
        yield f'BatchNorm epsilon {epsilon:g}', _with_epsilon(window, epsilon)


def _exchange_axes(kernel: np.ndarray) -> np.ndarray | None:
    square = kernel.ndim == 4 and kernel.shape[0] == kernel.shape[1] > 1
    return kernel.transpose(1, 0, 2, 3) if square else None


def _flip(kernel: np.ndarray) -> np.ndarray | None:
    return kernel[::-1, ::-1] if kernel.ndim == 4 and kernel.shape[:2] != (1, 1) else None


def _exchange_channels(kernel: np.ndarray) -> np.ndarray | None:
    return kernel.swapaxes(-1, -2) if kernel.shape[-1] == kernel.shape[-2] > 1 else None


def _flatten_orders(window: list[Call], calls: list[Call]) -> Iterator[tuple[str, Change]]:
    """For dense layers that see flattened maps: kernels whose rows were left in torch's order, or put in ours twice."""
    for number, call in enumerate(calls):
        maps = [earlier.output_shape[1:] for earlier in calls[:number] if len(earlier.output_shape) == 4]
        if call in window and len(call.output_shape) == 2 and maps:
            height, width, channels = maps[-1]
            for what, shape, order in (
                ('(channels, height, width)', (channels, height, width), (1, 2, 0)),
                ('channels last twice', (height, width, channels), (2, 0, 1)),
            ):
                yield f'flatten order, kernel stored {what}', _reordered(call.name, shape, order)


def _reordered(name: str, shape: tuple[int, ...], order: tuple[int, ...]) -> Change:
    def change(path, leaf):
        if path[-1] != 'kernel' or '/'.join(path[1:-1]) != name or leaf.shape[0] != math.prod(shape):
            return None
        return leaf.reshape(*shape, -1).transpose(*order, 3).reshape(leaf.shape)

    return change


def _with_epsilon(window: list[Call], epsilon: float) -> Change:
    """Another epsilon is the same as another running variance, so nothing is compiled anew."""
    own = {call.name: call.fields['epsilon'] for call in window if 'epsilon' in call.fields}

    def change(path, leaf):
        name = '/'.join(path[1:-1])
        return leaf + (epsilon - own[name]) if path[-1] == 'var' and own.get(name, epsilon) != epsilon else None

    return change


def _paddings(window: list[Call]) -> Iterator[tuple[str, Fields]]:
    """Other sides for the padding of strided windows: SAME puts the odd row at the end, torch pads both sides alike."""
    found: dict[str, Fields] = {}
    for call in window:
        stride = call.fields.get('strides') or call.fields.get('stride') or call.fields.get('window', 1)
        size = call.fields.get('kernel_size') or call.fields.get('window')
        size = size[0] if isinstance(size, tuple) else size
        if size is None or stride in (1, (1, 1)) or 'epsilon' in call.fields:  # the last: ConvNorm hands its fields on
            continue
        for top, bottom in _sides(call.fields['padding'], size):
            pairs = ((top, bottom), (top, bottom))
            what = f'padding side, {top} before and {bottom} after'
            found.setdefault(what, {})[call.name] = {'padding': pairs}
    for what, fields in found.items():
        yield f'{what} ({", ".join(fields)})', fields


def _sides(padding: Any, size: int) -> list[tuple[int, int]]:
    """The paddings to try, none that is there already."""
    if isinstance(padding, str):
        total, own = size - 1, None
    else:
        rows = padding[0] if isinstance(padding, tuple) else padding
        own = rows if isinstance(rows, tuple) else (rows, rows)
        total = sum(own)
    tried = [(before, amount - before) for amount in (total, total - 1, total + 1) for before in range(amount + 1)]
    near = [(before, after) for before, after in tried if abs(before - after) <= 2 and max(before, after) < size]
    return [sides for sides in near if sides != own]


def _places(paths: Any) -> str:
    names = ['/'.join(path[1:-1]) for path in paths]
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if names[3:] else '')
