"""A picture of any form, fitted to a set that comes as arrays: any size, in colour or grey, transparent, or turned."""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.data.formats.image import MAX_PIXELS, BadImage
from cnn_jax.errors import check_shortage

if TYPE_CHECKING:
    from PIL import Image


def fit(encoded: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """The bytes of an image file as uint8 of `shape`, (height, width, channels): one channel is grey, three are RGB.

    The shorter side is scaled to fit, the middle cut out. The picture is turned as its EXIF note says; what is
    transparent becomes white; 16 bits a channel become 8; of several frames the first is taken.

    Raises:
        BadImage: no image, a damaged or a too large one.
    """
    try:
        return _fitted(encoded, shape)
    except Exception as error:  # Pillow raises a dozen types for bad bytes
        check_shortage(error)
        raise BadImage(str(error).partition('\n')[0] or type(error).__name__) from error


def _fitted(encoded: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image, ImageOps

    with warnings.catch_warnings(), Image.open(io.BytesIO(encoded)) as opened:
        warnings.simplefilter('ignore')  # odd metadata, and sizes that are checked here
        if opened.width * opened.height > MAX_PIXELS:
            raise BadImage(f'{opened.width} x {opened.height} pixels, at most {MAX_PIXELS:,} are read')
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
