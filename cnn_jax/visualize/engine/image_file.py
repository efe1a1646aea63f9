"""A person's own image file as a model takes it: as evaluation prepares the files of its data set, where it has files.

For a set that comes as arrays (digits): of any size, in colour or grey, with transparency, or turned.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.data.formats.image import MAX_PIXELS
from cnn_jax.errors import CnnJaxError

if TYPE_CHECKING:
    from PIL import Image


def load(file: Path, shape: tuple[int, int, int], decode: Callable[[bytes], np.ndarray] | None = None) -> np.ndarray:
    """An image file as uint8 of `shape`, by `decode`, the data set's own way of preparing a file for evaluation.

    decode: None: grey or RGB, its shorter side scaled to fit, the middle cut out; turned as its EXIF note says; what is
    transparent becomes white; 16 bits a channel become 8; of several frames the first.

    Raises: CnnJaxError if there is no such file, or it is no image, damaged, or too large.
    """
    if not file.is_file():
        raise CnnJaxError(f'--image: {file} {"is a folder" if file.is_dir() else "is not there"}; give an image file')
    try:
        return _fitted(file, shape) if decode is None else decode(file.read_bytes())
    except Exception as error:  # Pillow raises a dozen types for bad bytes
        why = str(error).partition('\n')[0] or type(error).__name__
        raise CnnJaxError(f'--image: cannot read {file} as an image ({why}); give a JPEG or PNG file') from error


def _fitted(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image, ImageOps

    with warnings.catch_warnings(), Image.open(file) as opened:
        warnings.simplefilter('ignore')  # odd metadata, and sizes that are checked here
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f'{opened.width} x {opened.height} pixels, at most {MAX_PIXELS:,} are read')
        picture = _opaque(ImageOps.exif_transpose(opened))
        picture = picture if picture.mode == 'L' else picture.convert('RGB')
        picture = picture.convert('L' if shape[2] == 1 else 'RGB')
    fitted = ImageOps.fit(picture, (shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(fitted, np.uint8).reshape(shape)


def _opaque(picture: 'Image.Image') -> 'Image.Image':
    """Eight bits a channel, on white."""
    from PIL import Image

    if picture.mode.startswith(('I', 'F')):  # Pillow would clip these to 255
        values = np.nan_to_num(np.asarray(picture, np.float64))
        largest = next((end for end in (1, 255, 65535) if values.max() <= end), values.max())
        largest = 65535 if picture.mode.startswith('I;16') else largest
        return Image.fromarray(np.clip(values * (255 / largest), 0, 255).round().astype(np.uint8))
    if not picture.has_transparency_data:
        return picture
    layered = picture.convert('RGBA')
    return Image.alpha_composite(Image.new('RGBA', layered.size, 'white'), layered)
