"""A person's own image file, prepared as evaluation prepares the files of its data set."""

from pathlib import Path

import numpy as np

from cnn_jax.data.formats.image_header import read
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError


def load(file: Path, data: Data) -> np.ndarray:
    """An image file as uint8 of the set's shape.

    Raises:
        CnnJaxError: there is no such file, or it is no image, damaged, or too large.
    """
    if not file.is_file():
        raise CnnJaxError(f'--image: {file} {"is a folder" if file.is_dir() else "is not there"}; give an image file')
    try:
        return data.read_file(read(file))
    except (OSError, ValueError) as error:
        raise CnnJaxError(f'--image: cannot read {file} as an image ({error}); give a JPEG or PNG file') from error
