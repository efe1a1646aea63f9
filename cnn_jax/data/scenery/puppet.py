"""A puppet on a scene: thirteen joints, twelve limbs, and the scan of a digit for its head."""

import numpy as np

from cnn_jax.data.scenery.objects import INK, Object, box_around, paint
from cnn_jax.data.scenery.parts import Parts, resized

JOINTS = (
    'head', 'left shoulder', 'right shoulder', 'left elbow', 'right elbow', 'left wrist', 'right wrist', 'left hip',
    'right hip', 'left knee', 'right knee', 'left ankle', 'right ankle',
)  # fmt: skip
SWAP = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12))  # joints that change their names in a mirror
LIMBS = (
    (0, 1), (0, 2), (1, 2), (1, 3), (3, 5), (2, 4), (4, 6), (1, 7), (2, 8), (7, 8), (7, 9), (9, 11), (8, 10), (10, 12),
)  # fmt: skip
HEAD, NECK = 0.26, 0.24  # of the head's half side and the height of its centre, in heights of the torso
SHOULDERS, HIPS = 0.32, 0.2  # half widths
ARM, LEG = 0.5, 0.6  # lengths of an upper or lower part
THICK = 0.055  # half the width of a limb


def draw_puppet(rng: np.random.Generator, canvas: np.ndarray, parts: Parts) -> tuple[Object, np.ndarray]:
    """Draws a puppet, seen from the front, on a scene (size, size, channels), which is changed.

    Returns:
        the puppet, its class that of its head; and its joints float32 (13, 2), (x, y) in the order of `JOINTS`, all of
        them on the scene.
    """
    size = canvas.shape[0]
    torso = rng.uniform(0.2, 0.26) * size
    joints = _pose(rng) * torso
    reach = HEAD * torso
    low, high = joints.min(0) - reach, joints.max(0) + reach
    joints *= min(1.0, *((size - 2) / (high - low)))  # a puppet that stretches out is made smaller
    low, high = joints.min(0) - reach, joints.max(0) + reach
    room = np.maximum(size - (high - low), 0)
    joints = joints - low + rng.uniform(0, 1, 2) * room
    joints = np.clip(joints, 0.5, size - 0.5)
    number = int(rng.integers(len(parts.scans)))
    ink = np.zeros((size, size), np.float32)
    for first, second in LIMBS:
        _add_limb(ink, joints[first], joints[second], max(THICK * torso, 0.6))
    ink = np.where(_head_box(joints[0], reach, size), 0, ink)
    paint(rng, canvas, ink)
    top, left, side = _head(joints[0], reach, size)
    head = resized(parts.scans[number], side, side)
    paint(rng, canvas[top : top + side, left : left + side], head)
    mask = ink > INK
    mask[top : top + side, left : left + side] |= head > INK
    return Object(int(parts.classes[number]), box_around(mask), mask), joints.astype(np.float32)


def _pose(rng: np.random.Generator) -> np.ndarray:
    """Joints (13, 2), (x, y), of a torso of height 1 around (0, 0); its left side is on the right, as one sees it."""
    joints = np.zeros((13, 2))
    joints[0] = (0, -0.5 - NECK - HEAD)
    for side, (shoulder, elbow, wrist, hip, knee, ankle) in ((1, (1, 3, 5, 7, 9, 11)), (-1, (2, 4, 6, 8, 10, 12))):
        joints[shoulder], joints[hip] = (side * SHOULDERS, -0.5), (side * HIPS, 0.5)
        arm, leg = rng.uniform(-0.3, 2.4), rng.uniform(-0.15, 0.9)  # radians from hanging down, outwards
        joints[elbow] = joints[shoulder] + ARM * _direction(side, arm)
        joints[wrist] = joints[elbow] + ARM * _direction(side, arm + rng.uniform(-1.2, 1.2))
        joints[knee] = joints[hip] + LEG * _direction(side, leg)
        joints[ankle] = joints[knee] + LEG * _direction(side, leg + rng.uniform(-0.8, 0.3))
    turn = rng.uniform(-0.35, 0.35)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return joints @ rotation.T


def _direction(side: int, angle: float) -> np.ndarray:
    return np.array([side * np.sin(angle), np.cos(angle)])


def _add_limb(ink: np.ndarray, start: np.ndarray, end: np.ndarray, half_width: float) -> None:
    """Adds a line with round ends, its edge a pixel wide, to ink (size, size)."""
    reach = half_width + 1
    left, top = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(np.maximum(start, end) + reach), len(ink)).astype(int)
    across = np.arange(left, right)[None, :] + 0.5 - start[0]
    down = np.arange(top, bottom)[:, None] + 0.5 - start[1]
    along = end - start
    share = np.clip((across * along[0] + down * along[1]) / max(along @ along, 1e-6), 0, 1)
    distance = np.hypot(across - share * along[0], down - share * along[1])
    part = ink[top:bottom, left:right]
    np.maximum(part, np.clip(half_width + 0.5 - distance, 0, 1), out=part)


def _head(centre: np.ndarray, reach: float, size: int) -> tuple[int, int, int]:
    """(top, left, side) of the head, whole pixels on the scene."""
    side = max(4, round(2 * reach))
    left, top = (int(np.clip(round(place - side / 2), 0, size - side)) for place in centre)
    return top, left, side


def _head_box(centre: np.ndarray, reach: float, size: int) -> np.ndarray:
    """Where limbs are hidden by the head, bool (size, size)."""
    top, left, side = _head(centre, reach, size)
    inside = np.zeros((size, size), bool)
    inside[top : top + side, left : left + side] = True
    return inside
