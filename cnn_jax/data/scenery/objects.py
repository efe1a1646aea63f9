"""Digits on a scene: where they stand, what they cover."""

from typing import NamedTuple

import numpy as np

from cnn_jax.data.formats.annotations import box_around
from cnn_jax.data.scenery.parts import Parts, resized

SCALE = (1.4, 2.6)  # of a scan of 8 pixels, on a scene of 48
SCENE, SCAN = 48, 8
INK = 0.3  # how much of it covers a pixel, for the masks
TRIES, OVERLAP = 30, 0.1  # places that are tried for an object, and the share of the smaller box that may be covered
BRIGHT = (0.75, 1.0)


class Object(NamedTuple):
    """A digit on a scene: its class, the smallest box around its ink (left, top, right, bottom), what it covers."""

    label: int
    box: np.ndarray
    mask: np.ndarray


def draw_objects(rng: np.random.Generator, canvas: np.ndarray, parts: Parts, count: int) -> list[Object]:
    """Draws up to `count` digits on a scene (size, size, channels), which is changed, one after the other.

    A digit that finds no place where it covers little of the others is left out. Masks are bool (size, size); what a
    later digit covers belongs to that one.
    """
    size, placed = canvas.shape[0], []
    for _ in range(count):
        number = int(rng.integers(len(parts.scans)))
        ink = _enlarged(rng, parts.scans[number], size)
        around = box_around(ink > INK)
        for _ in range(TRIES):
            top, left = (int(rng.integers(size - length + 1)) for length in ink.shape)
            box = around + np.array([left, top, left, top], np.float32)
            if all(_covered(box, other.box) <= OVERLAP for other in placed):
                break
        else:
            continue
        mask = np.zeros(canvas.shape[:2], bool)
        mask[top : top + ink.shape[0], left : left + ink.shape[1]] = ink > INK
        placed = [other._replace(mask=other.mask & ~mask) for other in placed]
        placed.append(Object(int(parts.classes[number]), box, mask))
        paint(rng, canvas[top : top + ink.shape[0], left : left + ink.shape[1]], ink)
    return placed


def paint(rng: np.random.Generator, canvas: np.ndarray, ink: np.ndarray) -> None:
    """Covers a piece of a scene (height, width, channels) with ink (height, width) of a bright colour, or grey."""
    channels = canvas.shape[2]
    colour = rng.uniform(*BRIGHT, channels).astype(np.float32)
    if channels == 3:
        colour[rng.integers(3)] *= rng.uniform(0, 0.6)  # else most are nearly white
    canvas += ink[..., None] * (colour - canvas)


def _enlarged(rng: np.random.Generator, scan: np.ndarray, size: int) -> np.ndarray:
    """Ink from 0 to 1 of a scan at a size of its own, in the ratio of the scene to one of 48 pixels."""
    scale = rng.uniform(*SCALE) * size / SCENE
    height, width = (max(2, round(SCAN * scale * rng.uniform(0.9, 1.1))) for _ in range(2))
    return resized(scan, height, width)


def _covered(box: np.ndarray, other: np.ndarray) -> float:
    """The share of the smaller of two boxes that both have."""
    (left, top, right, bottom), others = box.tolist(), other.tolist()
    width = min(right, others[2]) - max(left, others[0])
    height = min(bottom, others[3]) - max(top, others[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((right - left) * (bottom - top), (others[2] - others[0]) * (others[3] - others[1]))
