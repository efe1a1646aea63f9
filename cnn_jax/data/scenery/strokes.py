"""A picture of brush strokes along the contours of hills: something to paint like, without a download.

Every part of it has dark and light, warm and cold strokes. A net that paints learns to give each image the style's mean
colours and textures: of a picture with three lights it would learn to put lights on every image.
"""

import numpy as np

STROKES = 0.03  # for each pixel
LENGTHS, WIDTHS = (8, 22), (2, 6)  # of a stroke in 320 pixels
HILLS = 5  # across the picture
SPREAD = 14  # of the colours of strokes at one height, in 0 .. 255
PALETTE = np.array(  # from the lowest place to the highest: red, green, blue
    [[20, 28, 70], [30, 82, 140], [58, 140, 160], [236, 226, 190], [246, 190, 70], [226, 110, 50], [150, 40, 50]]
)


def strokes(size: int = 320, seed: int = 2) -> np.ndarray:
    """The picture, uint8 (size, size, 3): blue valleys and red hills. seed: where hills and strokes lie."""
    import cv2

    rng = np.random.default_rng(seed)
    heights = _smooth(size, HILLS, rng) + 0.4 * _smooth(size, 2 * HILLS, rng)
    along, colors = _contours(heights), _colors(heights)
    picture, scale = np.ascontiguousarray(colors.astype(np.uint8)), size / 320
    for _ in range(round(STROKES * size**2)):
        place = rng.uniform(0, size, 2)
        color = colors[tuple(place.astype(int))] * rng.uniform(0.65, 1.35) + rng.normal(0, SPREAD, 3)
        line = _followed(along, place, round(rng.integers(*LENGTHS) * scale), size)
        width = max(1, round(rng.integers(*WIDTHS) * scale))
        cv2.polylines(picture, [line], False, np.clip(color, 0, 255).tolist(), width, cv2.LINE_AA, 4)
    return picture


def _smooth(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Heights (size, size) of so many hills and valleys across."""
    import cv2

    grid, extent = rng.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32), size * (cells + 3) // cells
    return cv2.resize(grid, (extent, extent), interpolation=cv2.INTER_CUBIC)[:size, :size]


def _contours(heights: np.ndarray) -> np.ndarray:
    """The direction in which the height stays, unit vectors (row, column) for each pixel, (2, size, size)."""
    down, across = np.gradient(heights)
    found = np.stack([across, -down])
    return found / np.maximum(np.linalg.norm(found, axis=0), 1e-9)


def _colors(heights: np.ndarray) -> np.ndarray:
    """Colours (size, size, 3) in 0 .. 255 by height, each part of the palette over as many pixels as the others."""
    ranks = heights.ravel().argsort().argsort().reshape(heights.shape) / heights.size
    places = ranks * (len(PALETTE) - 1)
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
