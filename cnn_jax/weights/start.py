"""Variables for a model that is already there, from a weights file of any kind: what `--init_from=FILE` does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.models.googlenet import GoogLeNet
from cnn_jax.weights.architectures import is_released_googlenet, library_of
from cnn_jax.weights.convert import Slot, convert, flatten, slots, unflatten
from cnn_jax.weights.native import KEY
from cnn_jax.weights.safetensors_file import read_header
from cnn_jax.weights.source import Source, existing_file, read_arrays

AUXILIARY = r'((params|batch_stats)/)?aux[12][./]'


def variables_for(
    model: nn.Module,
    source: Source,
    like: dict[str, Any],
    *,
    report: Callable[[str], None],
    what: str | None = None,
) -> dict[str, Any]:
    """The variables of `model` from a file of `weights.save`, torchvision's or timm's, or from a dict.

    Where the file has another number of classes, the layers that depend on it (the head) keep their values in `like`,
    and so do auxiliary heads that the file lacks; `report` gets a line that says so.

    Args:
        model: decides which of torchvision's or timm's names belong where.
        source: a file; a dict of arrays by torchvision's or timm's names; or our own variables (of another run).
        like: the initial variables of the model; shapes alone where nothing may stay untrained (evaluation).
        report: takes one line.
        what: names the source in lines and errors; None: its path.

    Returns:
        a tree like `like`, in its dtypes: numpy arrays, and leaves of `like` for what was not taken from the file.

    Raises:
        CnnJaxError: what does not fit, listed.
        StorageError: the file cannot be read, or is refused.
    """
    arrays, wanted, class_axis = _open(model, source, like)
    what = what or (str(source) if isinstance(source, str | Path) else 'the dict of weights')
    heads = _heads(arrays, wanted, class_axis, getattr(model, 'num_classes', None))
    rest = {name: array for name, array in arrays.items() if name not in heads}
    needed = {name: slot for name, slot in wanted.items() if name not in heads}
    optional = AUXILIARY if isinstance(model, GoogLeNet) else None
    taken = flatten(convert(rest, needed, what=what, optional=optional))
    if heads:
        _say_heads(what, wanted, heads, arrays, class_axis, like, report)
    if isinstance(model, GoogLeNet) and not model.transform_input and is_released_googlenet(source):
        report(f'warning: {what} expects images in (x - 0.5) / 0.5, or a model with transform_input=True')
    result = {}
    for path, leaf in flatten(like).items():
        result[path] = taken[path].astype(leaf.dtype, copy=False) if path in taken else _initial(leaf)
    absent = {path[1] for path in result if path not in taken} - {wanted[name].path[1] for name in heads}
    if absent:
        report(f'{", ".join(sorted(absent))}: not in {what}; starting anew')
    return unflatten(result)


def _open(model: nn.Module, source: Source, like: dict[str, Any]) -> tuple[Mapping[str, Any], dict[str, Slot], int]:
    """The arrays, what is wanted of them by the same names, and the axis of theirs that counts classes."""
    ours = None
    if isinstance(source, Mapping):
        if isinstance(source.get('params'), Mapping):
            ours = {'/'.join(path): np.asarray(leaf) for path, leaf in flatten(source).items()}
    else:
        path = existing_file(source)
        if path.suffix == '.safetensors' and KEY in read_header(path).get('__metadata__', {}):
            ours = read_arrays(path)
    if ours is None:
        arrays = read_arrays(source)
        return arrays, slots(model, like, library_of(arrays)), 0
    wanted = {'/'.join(path): Slot(path, leaf.shape, leaf.shape, None) for path, leaf in flatten(like).items()}
    return ours, wanted, -1


def _heads(arrays: Mapping[str, Any], wanted: dict[str, Slot], axis: int, num_classes: int | None) -> set[str]:
    """The names of arrays that differ from the wanted shape in their number of classes alone.

    An inner layer of another width is never taken for a head: the layer after it would differ in another axis, and
    then nothing here is a head.
    """
    found, counts = set(), set()
    for name, slot in wanted.items():
        shape = np.shape(arrays[name]) if name in arrays else slot.theirs
        if shape == slot.theirs:
            continue
        same = len(shape) == len(slot.theirs) and _without(shape, axis) == _without(slot.theirs, axis)
        if not same or slot.theirs[axis] != num_classes:
            return set()
        found.add(name)
        counts.add(shape[axis])
    return found if len(counts) == 1 else set()


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[1:] if axis == 0 else shape[:-1]


def _say_heads(
    what: str,
    wanted: dict[str, Slot],
    heads: set[str],
    arrays: Mapping[str, Any],
    axis: int,
    like: dict[str, Any],
    report: Callable[[str], None],
) -> None:
    some = next(iter(heads))
    there, here = np.shape(arrays[some])[axis], wanted[some].theirs[axis]
    layers = ', '.join(sorted({'/'.join(wanted[name].path[1:-1]) for name in heads}))
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(like)):
        raise CnnJaxError(
            f'{what} has {there} classes and the model {here}; {layers} would be untrained: train it first, or make '
            f'the model with {there} classes'
        )
    report(f'{layers}: {there} classes in {what}, {here} here; starting anew')


def _initial(leaf: Any) -> Any:
    """The leaf itself; zeros for a shape, which only an auxiliary head can be here, and evaluation never uses it."""
    return np.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
