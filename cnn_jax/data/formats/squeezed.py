"""Pictures with answers at one size: each is squeezed into a square, and what is on it moves along."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnn_jax.data.formats import image
from cnn_jax.data.formats.image_header import MAX_PIXELS, read_header
from cnn_jax.data.formats.view import View


@dataclass(frozen=True)
class Squeezing:
    """How a picture becomes `size` pixels a side: both sides by their own factor, so that nothing is cut off.

    The IoU of two boxes does not change. Photographs are taken as they are stored, as their annotations count them.
    """

    size: int
    max_pixels: int = MAX_PIXELS

    def pixels(self, encoded: bytes) -> np.ndarray:
        """The picture, uint8 (size, size, 3), each pixel the mean of those that it covers where it shrinks.

        Raises:
            BadImage: cannot be decoded, or is too large.
        """
        import cv2

        decoded = image.decode(encoded, max_pixels=self.max_pixels)
        shrinks = min(decoded.shape[:2]) >= self.size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(decoded, (self.size, self.size), interpolation=how)

    def sides(self, encoded: bytes) -> tuple[int, int]:
        """(width, height) of the picture.

        Raises:
            BadImage: no image, or a too large one.
        """
        header = read_header(encoded, max_pixels=self.max_pixels, upright=False)
        return header.width, header.height

    def view(self, encoded: bytes) -> View:
        """Where what `pixels` gives lies in the picture; errors as `sides`."""
        width, height = self.sides(encoded)
        return View((0.0, 0.0), (width / self.size, height / self.size))

    def classes(self, segmentation: np.ndarray) -> np.ndarray:
        """A segmentation (height, width) at that size, each pixel the class in its middle."""
        import cv2

        return cv2.resize(segmentation, (self.size, self.size), interpolation=cv2.INTER_NEAREST_EXACT)

    def boxes(self, boxes: np.ndarray, sides: Sequence[int]) -> np.ndarray:
        """Boxes (..., 4) of a picture of `sides` (width, height), in pixels of the square, cut at its edges."""
        factors = np.array([self.size / sides[0], self.size / sides[1]] * 2)
        return np.clip(boxes * factors, 0, self.size).astype(np.float32)
