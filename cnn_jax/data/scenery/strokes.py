"""A picture of brush strokes that swirl around three lights: something to paint like, without a download."""

from typing import NamedTuple

import numpy as np

STROKES = 0.02  # for each pixel
LENGTHS, WIDTHS = (8, 20), (2, 5)  # of a stroke in 320 pixels


class Whirl(NamedTuple):
    """Where a field turns, in shares of the picture; its size; which way, 1 or -1; and whether there is a light."""

    row: float
    column: float
    size: float
    turn: int
    is_light: bool


WHIRLS = (
    Whirl(0.22, 0.20, 0.14, 1, True),
    Whirl(0.25, 0.65, 0.17, -1, True),
    Whirl(0.52, 0.88, 0.12, 1, True),
    Whirl(0.68, 0.30, 0.20, -1, False),
)
ABOVE, BELOW, LIGHT = np.array([26, 56, 140]), np.array([15, 77, 97]), np.array([250, 204, 64])  # red, green, blue


def strokes(size: int = 320, seed: int = 0) -> np.ndarray:
    """The picture, uint8 (size, size, 3): night blue, with yellow lights. seed: where the strokes lie."""
    import cv2

    rows, columns = np.mgrid[:size, :size] / size
    along, colors = _field(rows, columns), _colors(rows, columns)
    picture, rng = np.ascontiguousarray(colors.astype(np.uint8)), np.random.default_rng(seed)
    scale = size / 320
    for _ in range(round(STROKES * size**2)):
        place = rng.uniform(0, size, 2)
        color = colors[tuple(place.astype(int))] * rng.uniform(0.6, 1.5) + rng.normal(0, 16, 3)
        line = _followed(along, place, round(rng.integers(*LENGTHS) * scale), size)
        width = max(1, round(rng.integers(*WIDTHS) * scale))
        cv2.polylines(picture, [line], False, np.clip(color, 0, 255).tolist(), width, cv2.LINE_AA, 4)
    return picture


def _field(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The direction of the strokes, unit vectors (row, column) for each pixel: a slow wave, and the whirls."""
    found = np.stack([0.25 * np.sin(8 * columns), np.ones_like(rows)])
    for one in WHIRLS:
        down, across = rows - one.row, columns - one.column
        strength = one.turn * 14 * np.exp(-(down**2 + across**2) / (2 * one.size**2))
        found += strength * np.stack([across, -down])
    return found / np.maximum(np.linalg.norm(found, axis=0), 1e-6)


def _colors(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(size, size, 3) in 0 .. 255, before any stroke."""
    found = (1 - rows)[..., None] * ABOVE + rows[..., None] * BELOW
    for one in WHIRLS:
        if one.is_light:
            far = (rows - one.row) ** 2 + (columns - one.column) ** 2
            near = np.exp(-far / (2 * (0.6 * one.size) ** 2))[..., None]
            found = (1 - near) * found + near * LIGHT
    return found


def _followed(along: np.ndarray, place: np.ndarray, length: int, size: int) -> np.ndarray:
    """A line of so many pixels along the field, in OpenCV's fixed point of 4 bits, (points, 2): columns, rows."""
    points = [place]
    for _ in range(length):
        row, column = np.clip(points[-1], 0, size - 1).astype(int)
        points.append(points[-1] + along[:, row, column])
    return np.round(16 * np.array(points)[:, ::-1]).astype(np.int32)
