"""A person's own image file, prepared as evaluation prepares the files of its data set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnn_jax.data.formats.image_header import read
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, check_shortage


def load(file: Path, data: Data) -> np.ndarray:
    """An image file as uint8 of the set's shape; errors as `decoded`."""
    return decoded(file, '--image', data.read_file)


def decoded(file: Path, flag: str, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """What `decode` makes of an image file; flag: names it in errors.

    Raises:
        CnnJaxError: there is no such file, or it is no image, damaged, or too large.
    """
    if not file.is_file():
        raise CnnJaxError(f'{flag}: {file} {"is a folder" if file.is_dir() else "is not there"}; give an image file')
    try:
        return decode(read(file))
    except (OSError, ValueError) as error:
        check_shortage(error)
        raise CnnJaxError(f'{flag}: cannot read {file} as an image ({error}); give a JPEG or PNG file') from error
