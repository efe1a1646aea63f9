"""A picture of brush strokes along eddies: something to paint like, without a download.

Its colours go from dark and cold to light and warm, as those of photographs go from dark to light: a net that paints
can follow the light of its image. Each colour lies within a few strokes of all others, and each stroke is lighter or
darker than its neighbours. Such nets give every part of an image the same statistics. From hills each of one colour,
as wide as 50 of 256 pixels, they learned to fill a sky with flat fields of one colour or another.
"""

import numpy as np

STROKES = 0.035  # for each pixel
LENGTHS, WIDTHS = (10, 26), (2, 6)  # of a stroke in 320 pixels
EDDIES, PLACES = 4, 10  # across the picture: of the directions, and of the colours
SPREAD = 0.18  # of the places of strokes in the palette
LIGHT, TINT = 0.2, 10  # strokes are so much lighter or darker, as a share; and of other colours, in 0 .. 255
PALETTE = np.array(  # from dark to light: red, green, blue
    [[16, 24, 66], [28, 72, 138], [44, 128, 156], [206, 88, 48], [240, 170, 60], [250, 232, 190]]
)


def strokes(size: int = 320, seed: int = 2) -> np.ndarray:
    """The picture, uint8 (size, size, 3). seed: where colours and strokes lie."""
    import cv2

    rng = np.random.default_rng(seed)
    lights = _smooth(size, PLACES, rng) + 0.4 * _smooth(size, 2 * PLACES, rng)
    ranks = lights.ravel().argsort().argsort().reshape(lights.shape) / lights.size  # each colour as often as the others
    along = _contours(_smooth(size, EDDIES, rng))
    picture, scale = np.ascontiguousarray(_colors(ranks).astype(np.uint8)), size / 320
    for _ in range(round(STROKES * size**2)):
        place = rng.uniform(0, size, 2)
        color = _colors(ranks[tuple(place.astype(int))] + rng.normal(0, SPREAD))
        color = color * rng.uniform(1 - LIGHT, 1 + LIGHT) + rng.normal(0, TINT, 3)
        line = _followed(along, place, round(rng.integers(*LENGTHS) * scale), size)
        width = max(1, round(rng.integers(*WIDTHS) * scale))
        cv2.polylines(picture, [line], False, np.clip(color, 0, 255).tolist(), width, cv2.LINE_AA, 4)
    return picture


def _smooth(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Heights (size, size) of so many hills and valleys across; the border of the grid, where they are flat, is cut."""
    import cv2

    grid, cell = rng.uniform(-1, 1, (cells + 5, cells + 5)).astype(np.float32), size / cells
    extent, first = round(cell * len(grid)), round(2 * cell)
    return cv2.resize(grid, (extent, extent), interpolation=cv2.INTER_CUBIC)[first:, first:][:size, :size]


def _contours(heights: np.ndarray) -> np.ndarray:
    """The direction in which the height stays, unit vectors (row, column) for each pixel, (2, size, size)."""
    down, across = np.gradient(heights)
    found = np.stack([across, -down])
    return found / np.maximum(np.linalg.norm(found, axis=0), 1e-9)


def _colors(ranks: np.ndarray) -> np.ndarray:
    """Colours (..., 3) in 0 .. 255 of places in the palette, 0 .. 1 from dark to light."""
    places = np.clip(ranks, 0, 1) * (len(PALETTE) - 1)
    below = np.minimum(places.astype(int), len(PALETTE) - 2)
    share = (places - below)[..., None]
    return (1 - share) * PALETTE[below] + share * PALETTE[below + 1]


def _followed(along: np.ndarray, place: np.ndarray, length: int, size: int) -> np.ndarray:
    """A line of so many pixels along the field, in OpenCV's fixed point of 4 bits, (points, 2): columns, rows."""
    points = [place]
    for _ in range(length):
        row, column = np.clip(points[-1], 0, size - 1).astype(int)
        points.append(points[-1] + along[:, row, column])
    return np.round(16 * np.array(points)[:, ::-1]).astype(np.int32)
