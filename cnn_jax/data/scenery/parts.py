"""What scenes are made of: scans of digits and pieces of photographs, each of them on one side of the splits alone.

The photographs are those that scikit-learn and scikit-image carry. The right part of each is for testing. The left part
is ten cells; a fold holds its share of them out for validation.
"""

import functools
from typing import NamedTuple

import numpy as np

from cnn_jax.data import digits
from cnn_jax.data.bundled import Photograph, find
from cnn_jax.data.held_out import Part
from cnn_jax.errors import CnnJaxError

PHOTOGRAPHS = (
    ('sklearn', 'datasets/images/china.jpg'),
    ('sklearn', 'datasets/images/flower.jpg'),
    ('skimage', 'data/astronaut.png'),
    ('skimage', 'data/chelsea.png'),
    ('skimage', 'data/coffee.png'),
    ('skimage', 'data/rocket.jpg'),
    ('skimage', 'data/motorcycle_left.png'),
)
LEFT = 0.7  # share of a photograph's width that is for training and validation
ROWS, COLUMNS = 5, 2  # of the cells of that part; the right part is one column
CONTRAST = 0.45  # of the photographs on a scene
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class Parts(NamedTuple):
    """What a split may use.

    Attributes:
        scans: float32 (scans, 8, 8), ink from 0 to 1.
        classes: int (scans,).
        cells: float32 (height, width, 3) each, from 0 to 1.
    """

    scans: np.ndarray
    classes: np.ndarray
    cells: tuple[np.ndarray, ...]


def check_share(share: float) -> None:
    """Raises CnnJaxError for a share of the photographs that is less than one cell of ten."""
    if share and share < 1 / (ROWS * COLUMNS):
        raise CnnJaxError(f'validation: got {share}; of scenes it is 0, or from {1 / (ROWS * COLUMNS)} to 0.5')


@functools.cache
def parts_of(split: str, part: Part) -> Parts:
    """The scans and pieces of a split: 'train', 'validation', which has `part` of those for training, or 'test'.

    Raises:
        DataError: a photograph is missing.
    """
    scans, classes = digits.scans_of(split, part)
    cells = tuple(cell for photograph in _photographs() for cell in _cells(photograph, split, part))
    return Parts(scans.astype(np.float32) / 255, classes, cells)


@functools.cache
def _photographs() -> tuple[np.ndarray, ...]:
    from PIL import Image

    files = [find(Photograph(package, file, 0)) for package, file in PHOTOGRAPHS]
    return tuple(np.asarray(Image.open(file).convert('RGB'), np.float32) / 255 for file in files)


def _cells(photograph: np.ndarray, split: str, part: Part) -> list[np.ndarray]:
    border = round(LEFT * photograph.shape[1])
    if split == 'test':
        return np.array_split(photograph[:, border:], ROWS)
    columns = np.array_split(photograph[:, :border], COLUMNS, axis=1)
    cells = [cell for column in columns for cell in np.array_split(column, ROWS)]
    first, end = part.ends(len(cells))
    return cells[first:end] if split == 'validation' else cells[:first] + cells[end:]


def draw_background(rng: np.random.Generator, cells: tuple[np.ndarray, ...], size: int, channels: int) -> np.ndarray:
    """A square piece of a cell at `size`, sometimes mirrored, float32 (size, size, channels) from 0 to 1."""
    cell = cells[rng.integers(len(cells))]
    short = min(cell.shape[:2])
    side = int(rng.integers(short // 2, short + 1))
    top, left = (int(rng.integers(length - side + 1)) for length in cell.shape[:2])
    piece = cell[top : top + side, left : left + side]
    if channels == 1:
        piece = (piece @ LUMINANCE)[..., None]
    piece = resized(piece, size, size)
    return piece[:, ::-1] if rng.integers(2) else piece


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels (height, width, ...) of another size, bilinear: the same numbers whatever is installed."""
    down, across = _weights(pixels.shape[0], height), _weights(pixels.shape[1], width)
    return np.moveaxis(np.tensordot(across, np.tensordot(down, pixels, 1), (1, 1)), 0, 1)


def as_pixels(canvas: np.ndarray) -> np.ndarray:
    """A scene from 0 to 1 as uint8."""
    return np.clip(np.round(canvas * 255), 0, 255).astype(np.uint8)


@functools.cache
def _weights(before: int, after: int) -> np.ndarray:
    """The matrix (after, before) of linear interpolation between the centres of pixels."""
    places = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    lower = np.minimum(places.astype(int), max(before - 2, 0))
    weights = np.zeros((after, before), np.float32)
    rows, share = np.arange(after), (places - lower).astype(np.float32)
    weights[rows, lower] = 1 - share
    weights[rows, np.minimum(lower + 1, before - 1)] += share
    return weights
