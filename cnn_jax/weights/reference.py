"""Stored activations of another implementation: an .npz file with `images` and an array for each layer's name."""

from pathlib import Path

import numpy as np

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.files.archive import BadArchive, read_npz


def read_reference(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, none of them pickled.

    Raises:
        CnnJaxError: there is no such file.
        StorageError: it is damaged, or compressed beyond reason.
    """
    path = Path(path).expanduser()
    if path.suffix != '.npz' or not path.is_file():
        raise CnnJaxError(f'--reference: no such .npz file: {path}; numpy.savez(FILE, images=..., conv1=...) makes one')
    try:
        return read_npz(path)
    except (BadArchive, OSError) as error:
        raise StorageError(f'{path}: not a whole .npz file of numbers: {str(error)[:200]}') from error
