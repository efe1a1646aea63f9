"""Segmentations as indexed PNG files: a pixel is the number of its class, and the palette is for the eye, as in VOC."""

import io

import numpy as np
from PIL import Image

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
