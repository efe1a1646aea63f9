"""A person's own image file as a whole picture, of its own shape: read, made smaller, given other colours."""

from functools import partial
from pathlib import Path

import numpy as np

from cnn_jax.data.formats import image
from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.engine.image_file import decoded

LEAST_SIZE = 16  # pixels of the long side of a picture that is optimised


def read(file: str | Path, flag: str, channels: int = 3) -> np.ndarray:
    """An image file, upright, as uint8 (height, width, channels); one channel is grey. flag: names it in errors.

    Raises:
        CnnJaxError: there is no such file, or it is no image, damaged, or too large.
    """
    pixels = decoded(Path(file).expanduser(), flag, partial(image.decode, upright=True))
    return pixels if channels == 3 else _converted(pixels, 'L')[..., None]


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """A picture whose long side has `size` pixels, with antialias; a smaller one stays as it is."""
    from PIL import Image

    height, width, channels = pixels.shape
    scale = size / max(height, width)
    if scale >= 1:
        return pixels
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    return np.asarray(picture.resize(shape, Image.Resampling.LANCZOS)).reshape(shape[1], shape[0], channels)


def whole(photograph: np.ndarray | None, size: int) -> np.ndarray:
    """A picture as the one of a batch, float32 (1, height, width, channels) in 0 .. 1, no longer than `size`.

    Raises: CnnJaxError where there is no picture, or for a size that shows nothing.
    """
    if photograph is None:
        raise CnnJaxError(f'--set.size={size} is of a picture, and there is none; add --image=FILE')
    if size < LEAST_SIZE:
        raise CnnJaxError(f'--set.size={size} given; it is at least {LEAST_SIZE} pixels')
    return resized(photograph, size)[None] / np.float32(255)


def recoloured(picture: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """The brightness (Y of YCbCr) of a picture in 0 .. 1, with the colours of uint8 pixels; in 0 .. 1."""
    if picture.shape[-1] == 1:
        return picture
    mixed = _converted(colors, 'YCbCr')
    mixed[..., 0] = _converted(np.round(255 * picture.clip(0, 1)).astype(np.uint8), 'L')
    return _converted(mixed, 'RGB', given='YCbCr') / np.float32(255)


def _converted(pixels: np.ndarray, mode: str, *, given: str = 'RGB') -> np.ndarray:
    from PIL import Image

    return np.array(Image.frombuffer(given, pixels.shape[1::-1], np.ascontiguousarray(pixels).tobytes()).convert(mode))
