"""Segmentations as indexed PNG files: a pixel is the number of its class, and the palette is for the eye, as in VOC."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.errors import check_shortage

NUMBERS = 256  # that a pixel may have


def encode(segmentation: np.ndarray) -> bytes:
    """The PNG file of classes (height, width), 0 .. 255, of any integer type.

    Raises:
        ValueError: a number that a pixel cannot have.
    """
    low, high = int(segmentation.min()), int(segmentation.max())
    if low < 0 or high >= NUMBERS:
        raise ValueError(f'segmentation: classes {low} to {high} given; an indexed PNG file has 0 to {NUMBERS - 1}')
    picture = Image.fromarray(segmentation.astype(np.uint8))
    picture.putpalette(palette().tobytes())  # which makes it an indexed one
    buffer = io.BytesIO()
    picture.save(buffer, 'PNG')
    return buffer.getvalue()


def read(file: Path, sides: tuple[int, int]) -> np.ndarray:
    """The numbers of the pixels of a PNG file, uint8 (height, width), of a picture of (width, height) `sides`.

    Raises:
        BadImage: no such file, or one of another size.
    """
    try:
        with Image.open(file, formats=('PNG',)) as opened:
            numbers = np.array(opened)
    except Exception as error:  # of damaged files, of whatever type
        check_shortage(error)
        raise BadImage(f'its mask {file.name} cannot be read: {" ".join(str(error).split())[:100]}') from error
    if numbers.shape != sides[::-1] or numbers.dtype != np.uint8:
        raise BadImage(f'its mask has the shape {numbers.shape}, the photograph {sides[::-1]}')
    return numbers


def palette() -> np.ndarray:
    """The colours of PASCAL VOC, uint8 (256, 3): black, dark red, dark green, ..., and a pale one for `IGNORE`.

    The bits of a number, three by three, are the highest bits of red, green and blue, and the next ones after them.
    """
    numbers = np.arange(NUMBERS)
    colours = np.zeros((NUMBERS, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> 3 * bit + channel & 1) << 7 - bit).astype(np.uint8)
    return colours
