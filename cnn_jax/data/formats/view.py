"""Where what a net is shown lies in the picture that was given: the way back of the preparation of files.

Places are those of `annotations`: pixels from the upper left corner. The picture is as its preparation takes it: turned
as EXIF says where that does so, else as it is stored.
"""

from typing import NamedTuple

import numpy as np

from cnn_jax.data.formats.image_header import read_header


class View(NamedTuple):
    """The part of a picture that a net is shown; what a place in it is in the picture: corner + scale * place.

    Attributes:
        corner: (x, y) of its upper left corner in the picture, below 0 where it begins outside.
        scale: pixels of the picture to one of the net's, across and down.
    """

    corner: tuple[float, float]
    scale: tuple[float, float]

    def to_picture(self, places: np.ndarray) -> np.ndarray:
        """Places in pixels of the picture, float64: points (..., 2), or boxes (..., 4), of (x, y) each."""
        pairs = np.reshape(places, (*places.shape[:-1], -1, 2)).astype(np.float64)
        return np.reshape(np.array(self.corner) + np.array(self.scale) * pairs, places.shape)

    def from_picture(self, places: np.ndarray) -> np.ndarray:
        """The way back: places in pixels of what the net is shown, float64; outside of it where they are so."""
        pairs = np.reshape(places, (*places.shape[:-1], -1, 2)).astype(np.float64)
        return np.reshape((pairs - np.array(self.corner)) / np.array(self.scale), places.shape)


WHOLE = View((0.0, 0.0), (1.0, 1.0))
"""Of a picture that is shown as it is."""


class Seen(NamedTuple):
    """A picture as a net is shown it: uint8 `pixels`, and its `view`; None where nobody knows it."""

    pixels: np.ndarray
    view: View | None


def fitted(encoded: bytes, shape: tuple[int, int, int]) -> View:
    """The view of `fitted.fit`: the largest middle part of the ratio of `shape`.

    Raises:
        BadImage: no image, or a too large one.
    """
    header = read_header(encoded, upright=True)
    scale = min(header.width / shape[1], header.height / shape[0])
    corner = (header.width - scale * shape[1]) / 2, (header.height - scale * shape[0]) / 2
    return View(corner, (scale, scale))


def place_centre(sides: tuple[int, int], *, resize: int, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(width, height) of a resized image, and (left, top) of its centre in that: see `image.decode_centre`."""
    short = min(sides)
    wide, high = (int(resize * length / short) for length in sides)  # the short one is `resize` exactly
    left, top = (round((length - size) / 2) for length in (wide, high))
    return (wide, high), (left, top)


def centre(encoded: bytes, *, resize: int, size: int, max_pixels: int, upright: bool) -> View:
    """The view of `image.decode_centre`.

    Raises:
        BadImage: no image, or a too large one.
    """
    header = read_header(encoded, max_pixels=max_pixels, upright=upright)
    (wide, high), (left, top) = place_centre((header.width, header.height), resize=resize, size=size)
    across, down = header.width / wide, header.height / high
    return View((left * across, top * down), (across, down))
