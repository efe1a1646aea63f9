"""Pictures made small for super-resolution: what a net is shown of a picture that it shall give back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.image import decode
from cnn_jax.data.formats.kept import Rows
from cnn_jax.data.formats.seal import Seal
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


def read_whole(encoded: bytes) -> np.ndarray:
    """A picture at its own size, uint8 (height, width, 3), turned as EXIF says: what a net is asked to enlarge.

    Raises:
        BadImage: cannot be decoded, or is too large.
    """
    return decode(encoded, upright=True)


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


def pack(small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """A pair as one image, uint8 (height, width, channels * (1 + scale**2)), to be kept where images are.

    The first channels are those of the small image; then come those of each large pixel that it covers, row after row.
    """
    height, width, channels = small.shape
    scale = large.shape[0] // height
    squares = large.reshape(height, scale, width, scale, channels).transpose(0, 2, 1, 3, 4)
    return np.concatenate([small, squares.reshape(height, width, -1)], -1)


def unpack(packed: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """The small and the large image of what `pack` gave."""
    height, width, depth = packed.shape
    channels = depth // (1 + scale**2)
    squares = packed[..., channels:].reshape(height, width, scale, scale, channels).transpose(0, 2, 1, 3, 4)
    return packed[..., :channels], squares.reshape(height * scale, width * scale, channels)


@dataclass(frozen=True)
class Pairs:
    """A split whose rows are kept as `pack` gives them; a row is 'image' and `HIGH`."""

    kept: Rows
    scale: int

    @property
    def seal(self) -> Seal:
        return self.kept.seal

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, row: int) -> dict[str, Any]:
        small, large = unpack(self.kept[row]['image'], self.scale)
        return {'image': np.ascontiguousarray(small), HIGH: np.ascontiguousarray(large)}

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return [self[row] for row in rows]
