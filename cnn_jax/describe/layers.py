"""The layer table of any Linen model, computed from shapes alone: nothing runs, no parameter is made.

Counts are for one image. MACs are multiply-adds of layers with a `kernel`; biases, pools, normalisation and activation
functions count none, as in the papers. Receptive fields include padding, so they may be larger than the image.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.describe.fit import Fit, Pair, find_fits, map_steps
from cnn_jax.tracing import fields
from cnn_jax.tracing.calls import Call, random_keys, trace_calls
from cnn_jax.tracing.receptive_field import BATCH
from cnn_jax.tracing.record import Path


@dataclass(frozen=True)
class Layer:
    """One call of a module, for one image. A block stands before the layers inside it, and its figures are sums."""

    name: str  # module path joined by '/'
    kind: str  # class of the module
    depth: int  # 1 for what the model calls itself
    leaf: bool  # no layers inside
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]  # of the first output, without the batch; () if this mode does not call it
    parameters: int  # of the collection 'params'; 0 at a second call, so that sums are right
    constants: int  # of all other collections: running statistics, RBF centres
    macs: int
    activation_bytes: int  # of the outputs of leaves
    receptive_field: Pair | None = None  # height and width in image pixels, padding included; None: not known
    stride: Pair | None = None  # image pixels from one unit to the next; None: not a map, or not known
    fits: tuple[Fit, Fit] | None = None  # rows and columns of a convolution or pool

    @property
    def unread(self) -> Pair:
        """Unread inputs and unread padding, of rows or columns, whichever are more."""
        return max(fit.unread for fit in self.fits) if self.fits else (0, 0)


def layer_table(
    model: nn.Module,
    image_shape: Sequence[int],
    *,
    variables: Mapping[str, Any] | None = None,
    train: bool = False,
    dtype: Any = jnp.float32,
) -> list[Layer]:
    """Returns a model's layers in the order of their calls, each block before what is inside it.

    image_shape: (height, width, channels). variables: arrays or shapes, if they are at hand; they save one trace.
    Parameters of modules that this mode does not call (auxiliary heads) stand at the end, without a shape.
    """
    images = jax.ShapeDtypeStruct((BATCH, *image_shape), dtype)
    options = {'train': train} if 'train' in inspect.signature(type(model).__call__).parameters else {}
    if variables is None:
        init: Callable[..., Any] = functools.partial(model.init, **options)
        variables = jax.eval_shape(init, random_keys(), images)
    shapes: dict[str, Any] = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), variables)
    root = trace_calls(model, shapes, images, options)
    return _Counts(shapes).layers(root)


class _Counts:
    """Turns calls into layers, counting every parameter once."""

    def __init__(self, variables: Mapping[str, Any]):
        self.params = _sizes(variables.get('params', {}))
        self.others: dict[Path, int] = {}
        for name in set(variables) - {'params', 'losses', 'intermediates'}:
            for path, size in _sizes(variables[name]).items():
                self.others[path] = self.others.get(path, 0) + size
        self.seen: set[Path] = set()

    def layers(self, root: Call) -> list[Layer]:
        layers = [layer for call in root.below for layer in self._layers_of(call)]
        rest: dict[Path, list[int]] = {}  # of the model itself, and of what is not called
        for column, counts in enumerate((self.params, self.others)):
            for path in counts:
                if not any(path[:end] in self.seen for end in range(1, len(path))):
                    rest.setdefault(path[:1] if len(path) > 1 else (), [0, 0])[column] += counts[path]
        if () in rest or not root.below:
            itself = self._layer(root, [], rest.pop((), [0, 0]))
            layers.append(
                replace(itself, name='(model)', depth=1, activation_bytes=0 if layers else itself.activation_bytes)
            )
        layers += [
            Layer('/'.join(path), '', 1, True, (), (), counts[0], counts[1], 0, 0) for path, counts in rest.items()
        ]
        return layers

    def _layers_of(self, call: Call) -> list[Layer]:
        counts = (
            [0, 0] if call.path in self.seen else [_below(sizes, call.path) for sizes in (self.params, self.others)]
        )
        self.seen.add(call.path)
        inside = [layer for child in call.below for layer in self._layers_of(child)]
        return [self._layer(call, inside, counts), *inside]

    def _layer(self, call: Call, inside: list[Layer], counts: Sequence[int]) -> Layer:
        shape = call.output.shape if call.output is not None else ()
        children = [layer for layer in inside if layer.depth == call.depth + 1]
        own_bytes = prod(shape) * call.output.dtype.itemsize if call.output is not None else 0
        return Layer(
            name='/'.join(call.path),
            kind=type(call.module).__name__,
            depth=call.depth,
            leaf=not inside,
            input_shape=call.input_shape,
            output_shape=shape,
            parameters=counts[0],
            constants=counts[1],
            macs=self._own_macs(call) + sum(child.macs for child in children),
            activation_bytes=sum(child.activation_bytes for child in children) if inside else own_bytes,
            receptive_field=call.outer.size if isinstance(call.outer, fields.Field) else None,
            stride=map_steps(call.outer),
            fits=None if inside else find_fits(call),
        )

    def _own_macs(self, call: Call) -> int:
        """Every number of a kernel is used once at every place of the map."""
        path = (*call.path, 'kernel')
        kernel = self.params.get(path) or self.others.get(path)
        if call.output is None or not kernel:
            return 0
        if isinstance(call.module, nn.ConvTranspose):
            return prod(call.input_shape[:-1]) * kernel
        named = (getattr(call.module, name, None) for name in ('features', 'filters'))
        features = next((value for value in named if value is not None), call.output.shape[-1])
        return prod(call.output.shape) // (prod(features) if isinstance(features, tuple) else features) * kernel


def _sizes(tree: Any) -> dict[Path, int]:
    leaves = jax.tree.leaves_with_path(tree)
    return {tuple(str(getattr(key, 'key', key)) for key in path): prod(leaf.shape) for path, leaf in leaves}


def _below(sizes: dict[Path, int], path: Path) -> int:
    return sum(size for leaf, size in sizes.items() if leaf[: len(path)] == path)
