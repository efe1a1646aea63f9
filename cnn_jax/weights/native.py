"""Our own weights files: safetensors with the model in the header, so that the file alone gives both back."""

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import cnn_jax.models
from cnn_jax.errors import CnnJaxError, StorageError, check_shortage, unknown
from cnn_jax.weights.convert import check_finite, fit_problems, flatten, unflatten, variable_shapes
from cnn_jax.weights.preprocessing import Preprocessing
from cnn_jax.weights.safetensors_file import is_safetensors, read_header, read_safetensors, write_safetensors
from cnn_jax.weights.source import existing_file

KEY = 'cnn_jax'  # of the header's metadata
FORMAT = 1
DTYPES = ('float16', 'bfloat16', 'float32', 'float64')
NOT_FIELDS = ('parent', 'name')
CLASSIFICATION = 'classification'  # what a file answers that does not say it


def save(
    path: str | Path,
    model: nn.Module,
    variables: dict[str, Any],
    *,
    image_shape: tuple[int, int, int] | None = None,
    class_names: Sequence[str] = (),
    preprocessing: Preprocessing | None = None,
    task: str = CLASSIFICATION,
    task_arguments: Mapping[str, Any] | None = None,
) -> None:
    """Writes a .safetensors file from which `load` rebuilds model and variables, bit for bit.

    The header has the model's family, the variant nearest to it and the fields in which it differs. Custom
    initializers are the one thing that is not kept: the weights are past them.

    Args:
        path: the new file; one that is there is replaced in one move.
        model: of a family in `cnn_jax.models`.
        variables: all collections, as `model.apply` takes them.
        image_shape: (height, width, channels) of the model's images, kept in the header. With it, here and in `load`,
            the variables are checked against the model.
        class_names: kept in the header, see `describe`.
        preprocessing: how its images are prepared, kept in the header; `weights.preprocessing_of` reads it.
        task: what it answers, the name of a file in `cnn_jax.tasks`; kept in the header.
        task_arguments: what `task` of that file needs, values for JSON; kept in the header.

    Raises:
        CnnJaxError: a model that a file cannot describe, or variables of another model.
        StorageError: the machine refuses to write.
    """
    path = Path(path).expanduser()
    if path.suffix != '.safetensors':
        raise CnnJaxError(f'weights.save: {path}: the file is to end in .safetensors')
    flat = flatten(variables)
    if image_shape is not None:
        _check_fits(model, flat, image_shape, what='weights.save')
    header = {'format': FORMAT, **describe_model(model), 'class_names': list(class_names)}
    if image_shape is not None:
        header['image_shape'] = list(image_shape)
    if task != CLASSIFICATION:
        header['task'] = task
    if task_arguments:
        header['task_arguments'] = dict(task_arguments)
    if preprocessing is not None:
        header['preprocessing'] = preprocessing.as_json()
    arrays = {'/'.join(parts): np.asarray(leaf) for parts, leaf in flat.items()}
    write_safetensors(path, arrays, {KEY: json.dumps(header)})


def load(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model and variables of a file that `save` wrote (float64 stays so under `jax.enable_x64` alone).

    Raises:
        CnnJaxError: there is no such file, or it is another program's.
        StorageError: it is damaged, or does not hold what its header says.
    """
    path = existing_file(path)
    header = about(path)
    arrays, _ = read_safetensors(path)
    try:
        _check_depth(header['options'], len(arrays))
        model = build_model(header)
        flat = {tuple(name.split('/')): array for name, array in arrays.items()}
        if 'image_shape' in header:
            _check_fits(model, flat, tuple(header['image_shape']), what='the header')
        variables = unflatten(flat)
    except Exception as error:  # the options of a damaged header can make a model fail in any way
        check_shortage(error)
        raise StorageError(f'{path}: does not hold what its header says: {str(error)[:500]}') from error
    check_finite(arrays, what=str(path))
    return model, jax.device_put(jax.tree.map(np.array, variables))  # jnp.array has a program for each shape


def about(path: str | Path) -> dict[str, Any]:
    """The header of a file that `save` wrote: `family`, `variant`, `options`, `class_names`, maybe `image_shape`,
    `preprocessing`, `task` and `task_arguments`.

    Raises:
        CnnJaxError: there is no such file, or it is another program's.
        StorageError: it is damaged.
    """
    path = existing_file(path)
    known = path.suffix == '.safetensors' or is_safetensors(path)
    text = read_header(path).get('__metadata__', {}).get(KEY) if known else None
    if text is None:
        raise CnnJaxError(
            f'weights: {path} was not written by weights.save; read it with weights.torchvision(ARCH, FILE) or '
            "weights.timm(NAME, FILE), or as a net with cnn_jax.load(FILE, architecture='torchvision/ARCH'), such as "
            "'torchvision/resnet18', or --architecture"
        )
    try:
        header = json.loads(text)
        form, options = header['format'], header['options']
        whole = all(isinstance(header[key], str) for key in ('family', 'variant')) and isinstance(options, dict)
        if not whole or not isinstance(header['class_names'], list):
            raise TypeError('wrong types')
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StorageError(f'{path}: a damaged header: {str(error)[:200]}') from error
    if form != FORMAT:
        raise StorageError(f'{path}: format {str(form)[:20]}, and this version reads {FORMAT}; install a newer cnn_jax')
    return header


def _check_depth(options: dict[str, Any], arrays: int) -> None:
    """Raises ValueError for a model of more layers than arrays: tracing it could take for ever."""
    depth: int = max([options.get('depth', 0), *(options.get('stage_sizes') or [])])
    if depth > arrays:
        raise ValueError(f'{depth} layers in {arrays} arrays')
    for part in options.values():
        if isinstance(part, dict) and 'model' in part:
            _check_depth(part['model']['options'], arrays)


def describe_model(model: nn.Module) -> dict[str, Any]:
    """`family`, `variant` and `options` of a model, as JSON values that `build_model` takes.

    Raises:
        CnnJaxError: it is of no family in `cnn_jax.models`, or has a field that a file cannot hold.
    """
    package, _, family = type(model).__module__.rpartition('.')
    if package != cnn_jax.models.__name__:
        raise CnnJaxError(f'weights.save: {type(model).__name__} is not of a family in {cnn_jax.models.__name__}')
    variants = importlib.import_module(f'{package}.{family}').VARIANTS
    found = {name: make() for name, make in variants.items()}
    differing = {name: _differences(model, made) for name, made in found.items() if type(made) is type(model)}
    if not differing:
        raise CnnJaxError(f'weights.save: {type(model).__name__} is no variant of {package}.{family}')
    variant = min(differing, key=lambda name: len(differing[name]))
    options = {name: _to_json(name, getattr(model, name)) for name in differing[variant] if not _is_initializer(name)}
    return {'family': family, 'variant': variant, 'options': options}


def build_model(header: dict[str, Any]) -> nn.Module:
    """The model that `describe_model` described.

    Raises:
        CnnJaxError: for a family, variant or option that is not there.
    """
    families = [module.name for module in pkgutil.iter_modules(cnn_jax.models.__path__)]
    family, variant = header['family'], header['variant']
    if family not in families:
        raise CnnJaxError(unknown('model family', family, families))
    variants = importlib.import_module(f'{cnn_jax.models.__name__}.{family}').VARIANTS
    if variant not in variants:
        raise CnnJaxError(unknown(f'variant of {family}', variant, variants))
    names = _fields(variants[variant]())
    for name in header['options']:
        if name not in names or _is_initializer(name):
            raise CnnJaxError(unknown(f'option of {family}', name, names))
    return variants[variant](**{name: _from_json(value) for name, value in header['options'].items()})


def _fields(model: nn.Module) -> list[str]:
    return [field.name for field in dataclasses.fields(model) if field.name not in NOT_FIELDS]


def _differences(model: nn.Module, other: nn.Module) -> list[str]:
    return [name for name in _fields(model) if getattr(model, name) != getattr(other, name)]


def _is_initializer(name: str) -> bool:
    return name.endswith('initializer')


def _to_json(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_to_json(name, item) for item in value]
    if isinstance(value, nn.Module):
        return {'model': describe_model(value)}
    try:
        dtype = jnp.dtype(value).name
    except TypeError:
        dtype = ''
    if dtype not in DTYPES:
        raise CnnJaxError(f'weights.save: field {name}={value!r} cannot stand in a file; numbers, texts and tuples can')
    return {'dtype': dtype}


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(item) for item in value)
    if isinstance(value, dict):
        if isinstance(value.get('model'), dict):
            return build_model(value['model'])
        if value.get('dtype') not in DTYPES:
            raise CnnJaxError('an option that is no number, text, tuple or floating-point type')
        return getattr(jnp, value['dtype'])
    return value


def _check_fits(model: nn.Module, flat: dict, image_shape: tuple[int, ...], *, what: str) -> None:
    """Raises CnnJaxError where the variables are not those of the model."""
    height, width, channels = image_shape
    shapes = flatten(variable_shapes(model, (height, width, channels)))
    wanted = {'/'.join(path): leaf.shape for path, leaf in shapes.items()}
    problems = fit_problems({'/'.join(path): np.shape(leaf) for path, leaf in flat.items()}, wanted)
    if problems:
        size = f'{height}x{width}x{channels}'
        raise CnnJaxError(f'{what}: the variables are not those of the model at {size}: {problems}')
