"""Scenes of digits as pictures for small sets in the forms of published ones, which smoke runs read."""

from typing import Any

import numpy as np

from cnn_jax.data.held_out import Part
from cnn_jax.data.scenery.objects import draw_objects
from cnn_jax.data.scenery.parts import CONTRAST, Parts, as_pixels, draw_background, parts_of
from cnn_jax.data.scenery.puppet import draw_puppet

HEIGHT, WIDTH = 72, 96  # of a picture, which is no square, as photographs are none


def drawn_scene(number: int, objects: tuple[int, int]) -> dict[str, Any]:
    """A scene in colour with the least to the most digits, all within its left square.

    `image` uint8 (72, 96, 3), `label` of the first digit, `boxes` (digits, 4) and `box_label` (digits,), and
    `segmentation` uint8 (72, 96), a digit's class + 1.
    """
    rng, parts, canvas = _empty(number)
    found = draw_objects(rng, canvas[:, :HEIGHT], parts, int(rng.integers(objects[0], objects[1] + 1)))
    segmentation = np.zeros((HEIGHT, WIDTH), np.uint8)
    for one in found:
        segmentation[:, :HEIGHT][one.mask] = one.label + 1
    return {
        'image': as_pixels(canvas),
        'label': found[0].label if found else 0,
        'boxes': np.array([one.box for one in found], np.float32).reshape(-1, 4),
        'box_label': np.array([one.label for one in found], np.int32),
        'segmentation': segmentation,
    }


def drawn_puppet(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture in colour uint8 (72, 96, 3) with one puppet in its left square, its joints (13, 2) and its box (4,)."""
    rng, parts, canvas = _empty(number)
    puppet, joints = draw_puppet(rng, canvas[:, :HEIGHT], parts)
    return as_pixels(canvas), joints, puppet.box


def _empty(number: int) -> tuple[np.random.Generator, Parts, np.ndarray]:
    parts, rng = parts_of('train', Part(0.0, 0)), np.random.default_rng([HEIGHT, WIDTH, number])
    return rng, parts, CONTRAST * draw_background(rng, parts.cells, WIDTH, 3)[:HEIGHT]
