"""Where arrays come from: a file or a dict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.weights.safetensors_file import read_safetensors
from cnn_jax.weights.torch_file import read_torch

Source = str | Path | Mapping[str, Any]
TORCH_SUFFIXES = ('.pth', '.pt', '.bin')
PARALLEL_PREFIX = 'module.'  # what torch's DataParallel puts before every name


def read_arrays(source: Source) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file, a file of `torch.save` (.pth, .pt, .bin), or a dict, by name.

    Raises:
        CnnJaxError: there is no such file, it is of another kind, or the dict holds something else than arrays.
        StorageError: the file cannot be read, or is refused.
    """
    if isinstance(source, Mapping):
        arrays = {name: _array(name, value) for name, value in source.items()}
    else:
        path = existing_file(source)
        arrays = read_torch(path) if path.suffix in TORCH_SUFFIXES else read_safetensors(path)[0]
    if arrays and all(name.startswith(PARALLEL_PREFIX) for name in arrays):
        arrays = {name.removeprefix(PARALLEL_PREFIX): array for name, array in arrays.items()}
    return arrays


def existing_file(source: str | Path) -> Path:
    """The path of a weights file, of a kind that is read here.

    Raises:
        CnnJaxError: it is not there, or of another kind.
    """
    path = Path(source).expanduser()
    if path.suffix not in ('.safetensors', *TORCH_SUFFIXES):
        raise CnnJaxError(
            f'weights: {path}: not a file that is read here; give a .safetensors file, a .pth file (.pt, .bin), or a '
            'dict of arrays'
        )
    if not path.is_file():
        raise CnnJaxError(f'weights: no such file: {path}')
    return path


def _array(name: Any, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except Exception as error:  # other libraries' arrays raise what they like
        raise CnnJaxError(f'weights: {str(name)[:100]} is not an array: {str(error)[:200]}') from error
    if not isinstance(name, str) or array.dtype.hasobject:
        raise CnnJaxError(f'weights: {str(name)[:100]} is not an array of numbers by name')
    return array
