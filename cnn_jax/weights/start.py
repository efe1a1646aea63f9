"""Variables for a model that is already there, from a weights file of any kind: what `--init_from=FILE` does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.models.googlenet import GoogLeNet
from cnn_jax.models.inception import InceptionV3
from cnn_jax.weights.architectures import expects_inception, library_of, resembling
from cnn_jax.weights.convert import Slot, convert, flatten, slots, unflatten
from cnn_jax.weights.keras_file import is_keras, read_backbone
from cnn_jax.weights.layout import their_modules
from cnn_jax.weights.native import KEY
from cnn_jax.weights.safetensors_file import is_safetensors, read_header, read_safetensors
from cnn_jax.weights.source import Source, existing_file, read_arrays
from cnn_jax.weights.trunk import TRUNK, own_pyramid, own_trunk, trunk_of, with_trunk

AUXILIARY_HEADS = ('aux1', 'aux2', 'aux_conv0', 'aux_conv1', 'aux_fc')
AUXILIARY = r'((params|batch_stats)/)?(aux[12][./]|aux_|AuxLogits\.)'


def variables_for(
    model: nn.Module,
    source: Source,
    like: dict[str, Any],
    *,
    report: Callable[[str], None],
    what: str | None = None,
    headless: bool = False,
) -> dict[str, Any]:
    """The variables of `model` from a file of `weights.save`, torchvision's or timm's, or from a dict.

    Where the file has another number of classes, the layers that depend on it (the head) keep their values in `like`,
    and so do auxiliary heads that the file lacks; `report` gets a line that says so. Of a model with a `trunk`, the
    file of a classifier, or of another task's net, gives the trunk alone, and its pyramid if
    the model has the same.

    Args:
        model: decides which of torchvision's or timm's names belong where.
        source: a file; a dict of arrays by torchvision's or timm's names; or our own variables (of another run).
        like: the initial variables of the model; shapes alone where nothing may stay untrained (evaluation).
        report: takes one line.
        what: names the source in lines and errors; None: its path.
        headless: dense layers that a Keras backbone lacks are left out of the variables, and no error.

    Returns:
        a tree like `like`, in its dtypes: numpy arrays, and leaves of `like` for what was not taken from the file.

    Raises:
        CnnJaxError: what does not fit, listed.
        StorageError: the file cannot be read, or is refused.
    """
    what = what or (str(source) if isinstance(source, str | Path) else 'the dict of weights')
    ours = _ours(source)
    if hasattr(model, TRUNK) and (ours is None or {*ours} != {*_names(like)}):
        part = trunk_of(like)
        trunk, others = own_trunk(ours or {})
        given = source if ours is None else unflatten({tuple(name.split('/')): leaf for name, leaf in trunk.items()})
        arrays, wanted, _ = _open(getattr(model, TRUNK), given, part, report)
        pyramid = own_pyramid(ours or {}, like)
        return with_trunk(arrays, wanted, like, pyramid=pyramid, others=others, what=what, report=report)
    arrays, wanted, class_axis = _open(model, source, like, report)
    if bare := _bare(source, arrays, wanted):
        return _without_head(arrays, wanted, bare, like, what=what, headless=headless, report=report)
    num_classes = getattr(model, 'num_classes', None)
    lacking = _headless(arrays, wanted, num_classes)
    heads = lacking or _heads(arrays, wanted, class_axis, num_classes)
    places = tuple(f'{name.rpartition(".")[0]}.' for name in lacking)
    rest = {name: array for name, array in arrays.items() if name not in heads and not name.startswith(places)}
    needed = {name: slot for name, slot in wanted.items() if name not in heads}
    optional = AUXILIARY if isinstance(model, GoogLeNet | InceptionV3) else None
    try:
        taken = flatten(convert(rest, needed, what=what, optional=optional))
    except CnnJaxError as error:
        alike = resembling(arrays)
        if not alike:
            raise
        raise CnnJaxError(f'{error}; it is a file of {" or ".join(alike)}') from error
    if lacking:
        _say_headless(what, wanted, lacking, arrays, places, like, report)
    elif heads:
        _say_heads(what, wanted, heads, arrays, class_axis, like, report)
    if not getattr(model, 'transform_input', True) and expects_inception(model, source):
        report(f'warning: {what} expects images in (x - 0.5) / 0.5, or a model with transform_input=True')
    result = {}
    for path, leaf in flatten(like).items():
        result[path] = taken[path].astype(leaf.dtype, copy=False) if path in taken else _initial(leaf)
    absent = {path[1] for path in result if path not in taken} - {wanted[name].path[1] for name in heads}
    if absent:
        report(f'{", ".join(sorted(absent))}: not in {what}; starting anew')
    return unflatten(result)


def _open(
    model: nn.Module, source: Source, like: dict[str, Any], report: Callable[[str], None]
) -> tuple[Mapping[str, Any], dict[str, Slot], int]:
    """The arrays, what is wanted of them by the same names, and the axis of theirs that counts classes."""
    ours = _ours(source)
    if ours is None:
        arrays = read_arrays(source, modules=their_modules(model), report=report)
        return arrays, slots(model, like, library_of(arrays)), 0
    wanted = {'/'.join(path): Slot(path, leaf.shape, leaf.shape, None) for path, leaf in flatten(like).items()}
    return {name: np.asarray(array) for name, array in ours.items()}, wanted, -1


def _ours(source: Source) -> dict[str, Any] | None:
    """The arrays of a file of `weights.save`, or of our own variables, by path; None of other libraries' arrays."""
    if isinstance(source, Mapping):
        return _names(source) if isinstance(source.get('params'), Mapping) else None
    path = existing_file(source)
    if is_keras(path):
        return read_backbone(path)
    if is_safetensors(path) and KEY in read_header(path).get('__metadata__', {}):
        return read_safetensors(path)[0]
    return None


def _bare(source: Source, arrays: Mapping[str, Any], wanted: dict[str, Slot]) -> set[str]:
    """The dense layers that a Keras backbone has not; none of another source."""
    if isinstance(source, Mapping) or not is_keras(existing_file(source)):
        return set()
    dense = {slot.path[:-1] for slot in wanted.values() if slot.path[-1] == 'kernel' and len(slot.ours) == 2}
    return {name for name, slot in wanted.items() if slot.path[:-1] in dense and name not in arrays}


def _without_head(
    arrays: Mapping[str, Any],
    wanted: dict[str, Slot],
    bare: set[str],
    like: dict[str, Any],
    *,
    what: str,
    headless: bool,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """The variables of a backbone: its dense layers start anew, or where nothing can start, are left out."""
    layers = ', '.join(dict.fromkeys('/'.join(wanted[name].path[1:-1]) for name in wanted if name in bare))
    taken = flatten(convert(arrays, {name: slot for name, slot in wanted.items() if name not in bare}, what=what))
    shapes = any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(like))
    if shapes and not headless:
        raise CnnJaxError(
            f'{what} has no {layers}, so it knows no classes; --mode=visualize needs none for --method=deep_dream, '
            f'units, invert and style; else train them first (--init_from={what})'
        )
    report(f'{layers}: not in {what}; ' + ('no classes' if shapes else 'starting anew'))
    leaves = flatten(like).items()
    return unflatten(
        {
            path: taken[path].astype(leaf.dtype) if path in taken else leaf
            for path, leaf in leaves
            if path in taken or not shapes
        }
    )


def _names(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {'/'.join(path): leaf for path, leaf in flatten(tree).items()}


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


def _headless(arrays: Mapping[str, Any], wanted: dict[str, Slot], num_classes: int | None) -> set[str]:
    """The names of dense layers with an output for each class, where these are all that the arrays lack.

    So a trunk is known whose head was taken off, or is another one.
    """
    missing = {name for name in wanted if name not in arrays}
    present = any(name in arrays for name in wanted)
    modules: dict[tuple[str, ...], set[str]] = {}
    for name, slot in wanted.items():
        modules.setdefault(slot.path[1:-1], set()).add(name)
    for path, names in modules.items():
        kernel = next((wanted[name].ours for name in names if wanted[name].path[-1] == 'kernel'), ())
        if len(kernel) == 2 and kernel[-1] == num_classes and path[0] not in AUXILIARY_HEADS and names <= missing:
            missing -= names
            if present and not missing - _auxiliary(wanted):
                return names
    return set()


def _auxiliary(wanted: dict[str, Slot]) -> set[str]:
    return {name for name, slot in wanted.items() if slot.path[1] in AUXILIARY_HEADS}


def _say_headless(
    what: str,
    wanted: dict[str, Slot],
    names: set[str],
    arrays: Mapping[str, Any],
    places: tuple[str, ...],
    like: dict[str, Any],
    report: Callable[[str], None],
) -> None:
    layer = '/'.join(wanted[next(iter(names))].path[1:-1])
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(like)):
        raise CnnJaxError(f'{what} has no {layer}, which would be untrained: train it first (--init_from={what})')
    others = sorted(name[:80] for name in arrays if name.startswith(places))
    report(f'{layer}: not in {what}; starting anew' + f' ({", ".join(others)} left out)' * bool(others))


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
