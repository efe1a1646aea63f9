"""Bodies on photographs, each in a square of its own: cut out around its box and brought to one size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cnn_jax.data.formats import image
from cnn_jax.data.formats.image_header import MAX_PIXELS, BadImage, read_header
from cnn_jax.data.formats.view import View


class Square(NamedTuple):
    """Part of a photograph in whole pixels; it may begin outside, which is black then."""

    left: int
    top: int
    side: int


def square_around(box: Sequence[float], margin: float = 1.0) -> Square:
    """The square about the middle of a box (left, top, right, bottom), its side `margin` times the longer one's."""
    left, top, right, bottom = (float(edge) for edge in box)
    side = max(1, math.ceil(margin * max(right - left, bottom - top)))
    return Square(round((left + right - side) / 2), round((top + bottom - side) / 2), side)


@dataclass(frozen=True)
class Frame:
    """How a body, or a whole photograph, becomes `size` pixels a side: in a square, so that its form stays.

    The systems whose pictures are 256 by 192 pixels cut out that ratio; here pictures are square, as for MPII.
    """

    size: int
    max_pixels: int = MAX_PIXELS

    def pixels(self, encoded: bytes) -> np.ndarray:
        """A photograph as a whole, uint8 (size, size, 3): it is taken for that of one body.

        Raises:
            BadImage: cannot be decoded, or is too large.
        """
        square = self._whole(encoded)
        return self.cut(image.decode(encoded, max_pixels=self.max_pixels), square)

    def view(self, encoded: bytes) -> View:
        """Where what `pixels` gives lies in the photograph; errors as there."""
        square = self._whole(encoded)
        scale = square.side / self.size
        return View((square.left, square.top), (scale, scale))

    def sides(self, encoded: bytes) -> tuple[int, int]:
        """(width, height) of the photograph as it is stored; BadImage for no image, or a too large one."""
        header = read_header(encoded, max_pixels=self.max_pixels, upright=False)
        return header.width, header.height

    def cut(self, photograph: np.ndarray, square: Square) -> np.ndarray:
        """A square of a photograph, uint8 (size, size, 3), each pixel the mean of those that it covers if it shrinks.

        Raises:
            BadImage: the square has more pixels than a photograph may have.
        """
        import cv2

        self._check(square)
        part = np.zeros((square.side, square.side, 3), np.uint8)
        height, width = photograph.shape[:2]
        left, right = (min(max(edge, 0), width) for edge in (square.left, square.left + square.side))
        top, bottom = (min(max(edge, 0), height) for edge in (square.top, square.top + square.side))
        rows, columns = slice(top - square.top, bottom - square.top), slice(left - square.left, right - square.left)
        part[rows, columns] = photograph[top:bottom, left:right]
        how = cv2.INTER_AREA if square.side >= self.size else cv2.INTER_LINEAR
        return cv2.resize(part, (self.size, self.size), interpolation=how)

    def move(self, places: np.ndarray, square: Square) -> np.ndarray:
        """Places (..., 2), (x, y) on the photograph, as those in the square at its size, float32."""
        return ((places - np.array([square.left, square.top])) * (self.size / square.side)).astype(np.float32)

    def _whole(self, encoded: bytes) -> Square:
        square = square_around((0, 0, *self.sides(encoded)))
        self._check(square)
        return square

    def _check(self, square: Square) -> None:
        if square.side**2 > self.max_pixels:
            raise BadImage(
                f'a square around it has {square.side:,} pixels a side, more than {self.max_pixels:,} in all'
            )
