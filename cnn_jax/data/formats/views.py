"""Views of an image for evaluation: the crops of the papers, as uint8 arrays (height, width, 3).

Resizing is Pillow's, with antialias, bilinear unless another filter is asked for. Mirror images are not among them:
whoever runs the model mirrors.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from cnn_jax.data.formats.image import FILTERS, Interpolation, open_rgb

Views = Callable[[Image.Image], list[np.ndarray]]
"""RGB image -> views"""

MOST_ASPECT = 4  # a longer image is cut to this, centred: a resize of one pixel by a thousand would be huge


def decode(encoded: bytes, *, max_pixels: int) -> Image.Image:
    """The image as Pillow decodes it, of an aspect ratio up to `MOST_ASPECT`.

    Raises:
        BadImage: cannot be decoded, or is too large.
    """
    image = open_rgb(encoded, max_pixels=max_pixels)
    wide, high = (min(side, MOST_ASPECT * min(image.size)) for side in image.size)
    left, top = (image.width - wide) // 2, (image.height - high) // 2
    return image if (wide, high) == image.size else image.crop((left, top, left + wide, top + high))


def resize_short(image: Image.Image, short: int, interpolation: Interpolation = 'bilinear') -> Image.Image:
    """The short side becomes `short`, the long one is rounded down, as torchvision does."""
    size = tuple(int(short * side / min(image.size)) for side in image.size)
    return image.resize((size[0], size[1]), FILTERS[interpolation])


def five_crops(image: Image.Image, size: int) -> list[np.ndarray]:
    """The corners and the centre, squares of `size`; the centre is placed as torchvision does."""
    right, bottom = image.width - size, image.height - size
    places = [(0, 0), (right, 0), (0, bottom), (right, bottom), (round(right / 2), round(bottom / 2))]
    return [_cut(image, left, top, size) for left, top in places]


def ten_crop(
    image: Image.Image, *, resize: int, size: int, interpolation: Interpolation = 'bilinear'
) -> list[np.ndarray]:
    """Five of the ten crops of Krizhevsky, Sutskever and Hinton 2012 (the others are their mirror images).

    As torchvision's TenCrop, of the whole image with its short side at `resize`; the paper's are of its central square.
    """
    return five_crops(resize_short(image, resize, interpolation), size)


def crops_144(image: Image.Image, *, size: int, interpolation: Interpolation = 'bilinear') -> list[np.ndarray]:
    """72 of GoogLeNet's 144 crops, the others their mirror images: Szegedy et al. 2014, arXiv:1409.4842, section 7.

    Four scales (256, 288, 320 and 352 for a `size` of 224); of each the left, central and right square (top, centre and
    bottom where it is higher than wide); of each square its five crops and itself, resized.
    """
    found = []
    for short in (256, 288, 320, 352):
        scaled = resize_short(image, round(short * size / 224), interpolation)
        side = min(scaled.size)
        room = (scaled.width - side, scaled.height - side)
        for part in range(3):
            left, top = (round(length * part / 2) for length in room)
            square = scaled.crop((left, top, left + side, top + side))
            found += five_crops(square, size)
            found.append(np.asarray(square.resize((size, size), FILTERS[interpolation])))
    return found


def whole(
    image: Image.Image, *, short: int, multiple: int, interpolation: Interpolation = 'bilinear'
) -> list[np.ndarray]:
    """The whole image with its short side at `short`, the long one cut to a multiple, centred: for dense evaluation.

    So there are few shapes, which are compiled one by one; the papers evaluate the last pixels too.
    """
    scaled = resize_short(image, short, interpolation)
    wide, high = (side if side == short else max(short, side // multiple * multiple) for side in scaled.size)
    left, top = (scaled.width - wide) // 2, (scaled.height - high) // 2
    return [np.asarray(scaled.crop((left, top, left + wide, top + high)))]


def _cut(image: Image.Image, left: int, top: int, size: int) -> np.ndarray:
    return np.asarray(image.crop((left, top, left + size, top + size)))
