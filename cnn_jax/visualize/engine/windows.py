"""The windows that cover an image in turn."""

import dataclasses
from collections.abc import Sequence
from math import ceil

import numpy as np

from cnn_jax.errors import CnnJaxError

Pair = int | Sequence[int]


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of one size, in equal steps over images of one size; the last of a row is cut at the edge.

    Sizes are (height, width) in pixels.

    Raises: CnnJaxError for windows that do not fit.
    """

    image: tuple[int, int]
    size: tuple[int, int]
    stride: tuple[int, int]

    def __post_init__(self) -> None:
        for step, side, whole in zip(self.stride, self.size, self.image, strict=True):
            if not 1 <= step <= side <= whole:
                raise CnnJaxError(
                    f'occlusion: window={self.size}, stride={self.stride} given on images of {self.image}; '
                    'needed: 1 <= stride <= window <= image'
                )

    @property
    def counts(self) -> tuple[int, int]:
        """The number of rows and of columns of windows."""
        sides = zip(self.image, self.size, self.stride, strict=True)
        rows, columns = (ceil((whole - side) / step) + 1 for whole, side, step in sides)
        return rows, columns

    def places(self, batch: int) -> tuple[np.ndarray, ...]:
        """The image, top and left of each window of each image, (batch * rows * columns,)."""
        image, row, column = (part.ravel() for part in np.mgrid[:batch, : self.counts[0], : self.counts[1]])
        return image, row * self.stride[0], column * self.stride[1]

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """The mean value of the windows that cover each pixel: (batch, rows, columns) to (batch, height, width)."""
        total, covers = np.zeros((len(values), *self.image), values.dtype), np.zeros(self.image, values.dtype)
        for row, column in np.ndindex(self.counts):
            top, left = row * self.stride[0], column * self.stride[1]
            area = (slice(top, top + self.size[0]), slice(left, left + self.size[1]))
            total[:, *area] += values[:, row, column, None, None]
            covers[area] += 1
        return total / covers


def make_windows(image: Sequence[int], window: Pair | None, stride: Pair | None) -> Windows:
    """The windows of `occlusion.attribute`: None is a quarter of the image, in steps of half a window."""
    whole = _pair(image)
    size = _pair(window) if window is not None else (max(1, whole[0] // 4), max(1, whole[1] // 4))
    step = _pair(stride) if stride is not None else (max(1, size[0] // 2), max(1, size[1] // 2))
    return Windows(whole, size, step)


def _pair(value: Pair) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)
