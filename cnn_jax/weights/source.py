"""Where arrays come from: a file of whatever name, known by its content, the index of several, or a dict."""

import json
import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.errors import CnnJaxError, StorageError, check_shortage
from cnn_jax.weights.normalise import Taken, find_weights, fit_names
from cnn_jax.weights.safetensors_file import is_safetensors, read_safetensors
from cnn_jax.weights.torch_file import take_torch

Source = str | Path | Mapping[str, Any]
INDEX = '.index.json'  # how the index of a model in several files ends, as Hugging Face writes it
MOST_INDEX_BYTES = 2 * 2**20
MOST_NAME = 1000  # letters of an array's name
OTHERS = {
    b'\x89HDF\r\n\x1a\n': 'HDF5 (Keras)',
    b'\x93NUMPY': 'one array of numpy',
    b'\x1f\x8b': 'gzip, unpack it first',
}

log = logging.getLogger(__name__)


def read_arrays(
    source: Source, *, modules: Collection[str] = (), report: Callable[[str], None] = log.info
) -> dict[str, np.ndarray]:
    """The arrays of a file of safetensors or of `torch.save`, of an index of such, or of a dict, by name.

    What stands around the weights of a model is taken off: see `normalise`. One line says what.

    Args:
        source: a file, whatever it is called; a `model.safetensors.index.json`; a dict, maybe of dicts.
        modules: the names of the modules that are wanted; with them prefixes are found.
        report: takes the line; it comes only where something was not plain.

    Raises:
        CnnJaxError: there is no such file, or the dict holds something else than arrays.
        StorageError: the file cannot be read, is refused, or is of another kind.
    """
    what = 'the dict of weights'
    if isinstance(source, Mapping):
        taken = _of_dict(source, what)
    else:
        what = str(source)
        taken = _of_file(existing_file(source))
    if any(len(name) > MOST_NAME for name in taken.arrays):
        raise StorageError(f'{what}: refused: a name of over {MOST_NAME:,} letters')
    fitted = fit_names(taken.arrays, modules)
    if notes := (*taken.notes, *fitted.notes):
        report(f'{what}: {"; ".join(notes)}')
    return fitted.arrays


def existing_file(source: str | Path) -> Path:
    """The path of a weights file.

    Raises:
        CnnJaxError: it is not there, or no file.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        raise CnnJaxError(f'weights: {path} is a folder; give a file in it')
    if not path.is_file():
        raise CnnJaxError(f'weights: no such file: {path}')
    return path


def _of_file(path: Path) -> Taken:
    if path.name.endswith(INDEX):
        return _of_index(path)
    if is_safetensors(path) or path.suffix == '.safetensors':
        return Taken(read_safetensors(path)[0], ())
    try:
        with path.open('rb') as file:
            start = file.read(8)
    except OSError as error:
        raise StorageError(f'{path}: cannot be read: {error.strerror or error}') from error
    for magic, kind in OTHERS.items():
        if start.startswith(magic):
            raise StorageError(f'{path}: {kind}; not a file that is read here: safetensors, or of torch.save')
    return take_torch(path)


def _of_index(path: Path) -> Taken:
    """All arrays of the files that an index names; they stand beside it."""
    try:
        with path.open('rb') as file:
            places = json.loads(file.read(MOST_INDEX_BYTES))['weight_map']
        if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
            raise TypeError('its weight_map gives no files')
        strange = [name for name in places.values() if Path(name).name != name or name.endswith(INDEX) or '\\' in name]
        if strange:
            raise ValueError(f'{ascii(strange[0])[:80]} is no file beside it')
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(f'{path}: not an index of weights files: {str(error)[:200]}') from error
    arrays: dict[str, np.ndarray] = {}
    files = sorted(set(places.values()))
    for name in files:
        if not path.with_name(name).is_file():
            raise StorageError(f'{path}: its part {name[:80]} is not beside it; put all {len(files)} files there')
        arrays |= _of_file(path.with_name(name)).arrays
    if missing := [name for name in places if name not in arrays]:
        raise StorageError(f'{path}: {len(missing)} arrays are in none of its files: {ascii(missing[0])[:80]}')
    return Taken(arrays, (f'{len(files)} files are read',))


def _of_dict(source: Mapping[str, Any], what: str) -> Taken:
    if any(isinstance(value, Mapping) for value in source.values()):
        taken = find_weights(source, what=what, is_array=_is_array, error=CnnJaxError)
    else:
        taken = Taken(dict(source), ())
    return Taken({name: _array(name, value) for name, value in taken.arrays.items()}, taken.notes)


def _is_array(value: Any) -> bool:
    return hasattr(value, 'shape') and hasattr(value, 'dtype')


def _array(name: Any, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except Exception as error:  # other libraries' arrays raise what they like
        check_shortage(error)
        raise CnnJaxError(f'weights: {str(name)[:100]} is not an array: {str(error)[:200]}') from error
    if not isinstance(name, str) or array.dtype.hasobject:
        raise CnnJaxError(f'weights: {str(name)[:100]} is not an array of numbers by name')
    return array
