"""From arrays in torch's layouts to the variables of a model: every array used once, every variable filled."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.models.vgg import VGG
from cnn_jax.weights.layout import Library, module_names

MOST_SHOWN = 3
TOGETHER = 256  # outputs of a kernel that are turned at once
THEIRS = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'mean': 'running_mean', 'var': 'running_var'}
COUNTER = 'num_batches_tracked'  # of torch's BatchNorm; no result depends on it
FLATTENED = 'fc6'  # the layer that sees flattened maps: (channels, height, width) there, channels last here

Flat = dict[tuple[str, ...], Any]  # a leaf by its path, ('params', 'conv1', 'kernel')


class Slot(NamedTuple):
    """One variable of ours and how its array stands in the file."""

    path: tuple[str, ...]
    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    seen_as: tuple[int, ...] | None  # a kernel as (out, in, height, width); None for vectors

    def convert(self, array: np.ndarray) -> np.ndarray:
        """Their array in our order of axes, in memory of its own."""
        if self.seen_as is None:
            return array.copy()
        theirs = array.reshape(self.seen_as).transpose(2, 3, 1, 0)  # height, width, in, out
        made = np.empty(theirs.shape, array.dtype)
        for start in range(0, made.shape[-1], TOGETHER):  # the whole of VGG's fc6 leaves the cache at each number
            made[..., start : start + TOGETHER] = theirs[..., start : start + TOGETHER]
        return made.reshape(self.ours)


def flatten(tree: Any) -> Flat:
    """Leaves of nested dicts by path."""
    return {
        tuple(str(getattr(key, 'key', key)) for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def unflatten(flat: Flat) -> dict[str, Any]:
    """Nested dicts from leaves by path.

    Raises:
        ValueError: a path goes through a leaf.
    """
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        folder = tree
        for name in path[:-1]:
            folder = folder.setdefault(name, {})
        if not isinstance(folder, dict) or path[-1] in folder:
            raise ValueError(f'{"/".join(path)} is below or above another variable')
        folder[path[-1]] = leaf
    return tree


def variable_shapes(model: nn.Module, image_shape: tuple[int, int, int] = (224, 224, 3)) -> dict[str, Any]:
    """The variables of a model as shapes; nothing is computed."""
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    shapes = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    return {collection: tree for collection, tree in shapes.items() if collection != 'losses'}


def slots(model: nn.Module, like: Mapping[str, Any], library: Library) -> dict[str, Slot]:
    """What a file of `library` must hold for the variables `like` of `model`, by their names.

    Raises:
        CnnJaxError: the model has no counterpart there.
    """
    names, leaves = module_names(model, library), flatten(like)
    convolutions = [leaf.shape for path, leaf in leaves.items() if path[-1] == 'kernel' and len(leaf.shape) == 4]
    found = {}
    for path, leaf in leaves.items():
        module = '/'.join(path[1:-1])
        if module not in names:
            raise CnnJaxError(f'{type(model).__name__}: {module} of this form has no counterpart in {library}')
        name = f'{names[module]}.{THEIRS[path[-1]]}'
        channels = convolutions[-1][-1] if module == FLATTENED else leaf.shape[0]
        # timm's VGG applies fc6 and fc7 as convolutions, its resnetv2 the head
        as_convolution = names[module].startswith('pre_logits.' if isinstance(model, VGG) else 'head.fc')
        found[name] = _slot(path, tuple(leaf.shape), channels, as_convolution)
    return found


def _slot(path: tuple[str, ...], shape: tuple[int, ...], channels: int, as_convolution: bool) -> Slot:
    if path[-1] != 'kernel':
        return Slot(path, shape, shape, None)
    if len(shape) == 4:
        theirs = (shape[3], shape[2], shape[0], shape[1])
        return Slot(path, shape, theirs, theirs)
    size = math.isqrt(shape[0] // channels)  # of the maps that were flattened; 1 between dense layers
    if size * size * channels != shape[0]:
        raise CnnJaxError(f'{"/".join(path)}: {shape[0]} inputs are no square maps of {channels}; use square images')
    seen_as = (shape[1], channels, size, size)
    return Slot(path, shape, seen_as if as_convolution else shape[::-1], seen_as)


def convert(
    arrays: Mapping[str, Any], wanted: Mapping[str, Slot], *, what: str, optional: str | None = None
) -> dict[str, Any]:
    """The variables, as numpy arrays with memory of their own: float32, or float64 where the file has that.

    Args:
        arrays: by their names, in torch's layouts.
        wanted: from `slots`.
        what: names the source in errors.
        optional: pattern of names (as `re.match`) that the file may lack or have too many of.

    Raises:
        CnnJaxError: arrays are missing, unexpected, mis-shaped, or hold other things than finite numbers.
    """
    counters = {f'{name.rpartition(".")[0]}.{COUNTER}' for name, slot in wanted.items() if slot.path[-1] == 'mean'}
    free = re.compile(optional or r'(?!)')
    found = {name: tuple(np.shape(array)) for name, array in arrays.items() if name not in counters}
    shapes = {name: slot.theirs for name, slot in wanted.items()}
    problems = fit_problems(found, shapes, free=lambda name: bool(free.match(name)))
    if problems:
        raise CnnJaxError(f'{what} does not fit the model: {problems}')
    present = [name for name in wanted if name in arrays]
    return unflatten({wanted[name].path: wanted[name].convert(_numbers(arrays[name], name, what)) for name in present})


def fit_problems(
    found: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    free: Callable[[str], bool] = lambda name: False,
) -> str:
    """What is missing, unexpected and mis-shaped in `found`; empty where it fits. `free` names may come and go."""
    missing = [name for name in wanted if name not in found and not free(name)]
    unexpected = [name for name in found if name not in wanted and not free(name)]
    shaped = [
        f'{name} {found[name]}, should be {shape}'
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    problems = {'missing': missing, 'unexpected': unexpected, 'mis-shaped': shaped}
    return '; '.join(_listed(kind, names) for kind, names in problems.items() if names)


def _listed(kind: str, names: list[str]) -> str:
    shown = ', '.join(str(name)[:120] for name in names[:MOST_SHOWN])
    return f'{len(names)} {kind}: {shown}' + (f' and {len(names) - MOST_SHOWN} more' if names[MOST_SHOWN:] else '')


def _numbers(array: Any, name: str, what: str) -> np.ndarray:
    """Finite floating-point numbers, at least float32."""
    array = np.asarray(array)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise CnnJaxError(f'{what}: {name} holds {array.dtype} values; floating-point numbers are needed')
    check_finite({name: array}, what=what)
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)


def check_finite(arrays: Mapping[str, np.ndarray], *, what: str) -> None:
    """Raises CnnJaxError where an array holds a NaN or an infinity."""
    for name, array in arrays.items():
        if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all():
            raise CnnJaxError(f'{what}: {name} holds values that are not finite (NaN or infinity)')
