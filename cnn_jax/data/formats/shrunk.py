"""Pictures made small for super-resolution: what a net is shown of a picture that it shall give back."""

import numpy as np

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.order import check_count
from cnn_jax.errors import CnnJaxError

HIGH = 'high_resolution'  # the field of the large picture
SCALES = (2, 3, 4)


def shrink(pixels: np.ndarray, scale: int) -> np.ndarray:
    """The picture, uint8 (height / scale, width / scale, channels), of uint8 pixels (height, width, channels).

    Pillow's bicubic with antialias: Keys' kernel, a = -1/2, stretched by the scale, rounded to 8 bits after each axis.
    MATLAB's `imresize`, which made the published sets, has the same kernel, but mirrors pixels at the border and rounds
    once, so that single pixels differ by one or two of 255.

    Raises:
        CnnJaxError: sides that the scale does not divide.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    if height % scale or width % scale:
        raise CnnJaxError(f'pixels: {height} x {width} given; the scale {scale} does not divide them')
    grey = pixels.shape[2] == 1
    small = Image.fromarray(pixels[..., 0] if grey else pixels).resize(
        (width // scale, height // scale), Image.Resampling.BICUBIC
    )
    return np.asarray(small).reshape(height // scale, width // scale, pixels.shape[2])


def fields_of(size: int, scale: int, channels: int = 3) -> Fields:
    """What a row carries beside its image of `size` pixels a side."""
    return {HIGH: Field('uint8', (size * scale, size * scale, channels))}


def check_scale(scale: int, size: int) -> None:
    """Raises CnnJaxError for another scale than 2, 3 or 4, or a side of the large picture that it does not divide."""
    if scale not in SCALES:
        raise CnnJaxError(f'scale: got {scale}; it is one of {", ".join(map(str, SCALES))}')
    check_count('size', size)
    if size % scale:
        raise CnnJaxError(f'size: got {size}; it is a multiple of the scale {scale}')
