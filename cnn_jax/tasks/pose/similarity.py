"""How near the joints of an answer are to the right ones: distances, PCK, and COCO's object key-point similarity."""

import numpy as np

LEVELS = np.arange(10) * 0.05 + 0.5  # of OKS
RECALLS = np.linspace(0, 1, 101)
ENOUGH = 0.2  # of the torso


def distances(places: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Pixels between places (..., 2); infinite where an answer is not finite."""
    with np.errstate(invalid='ignore'):
        distance = np.linalg.norm(np.asarray(found, np.float64) - places, axis=-1)
    return np.where(np.isfinite(distance), distance, np.inf)


def correct_keypoints(
    keypoints: np.ndarray, visible: np.ndarray, distance: np.ndarray, torso: tuple[int, int]
) -> float:
    """PCK: the share of the visible joints whose distance is at most a fifth of the torso; NaN where none counts.

    An image whose torso is not visible, or has no length, does not count.

    keypoints: (images, joints, 2). visible, distance: (images, joints). torso: two joints.
    """
    relative, counted = relative_distances(keypoints, visible, distance, torso)
    return float(np.mean((relative <= ENOUGH)[counted])) if counted.any() else float('nan')


def relative_distances(
    keypoints: np.ndarray, visible: np.ndarray, distance: np.ndarray, torso: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances as shares of the torso, (images, joints), and which of them count; arguments of `correct_keypoints`."""
    first, second = torso
    length = np.linalg.norm(keypoints[:, first].astype(np.float64) - keypoints[:, second], axis=-1)
    measured = visible[:, [first, second]].all(1) & (length > 0)
    return distance / np.where(length > 0, length, 1)[:, None], visible & measured[:, None]


def average_precision(
    visible: np.ndarray, distance: np.ndarray, area: np.ndarray, score: np.ndarray, sigmas: np.ndarray
) -> float:
    """COCO's AP of key points for one body and one answer an image: the mean over the levels of OKS.

    OKS is the mean over the visible joints of exp(-d^2 / (2 area (2 sigma)^2)). An answer is true where it reaches the
    level; precision is interpolated at 101 recalls: as pycocotools does. Its program needs seconds for a split, and a
    comparison of runs asks a thousand times. An image without a visible joint does not count; NaN where none counts. An
    answer with a joint at an infinite distance is no answer.

    visible, distance: (images, joints), in pixels. area: square pixels of each body, (images,). score: of each answer,
    (images,). sigmas: (joints,), or one for all.
    """
    there = visible.any(1)
    if not there.any():
        return float('nan')
    spread = 2 * (area.astype(np.float64) + np.spacing(1))[:, None] * (2 * sigmas) ** 2
    near = np.where(visible, np.exp(-(distance**2) / spread), 0)
    answered = np.isfinite(distance).all(1)
    similarity = np.where(answered, near.sum(1) / np.maximum(visible.sum(1), 1), 0)[there]
    order = np.argsort(-np.where(answered, score, -np.inf)[there], kind='stable')
    return float(np.mean([_precision(similarity[order] >= level) for level in LEVELS]))


def _precision(true: np.ndarray) -> float:
    """The mean precision at the recalls, of answers by falling score, one for each body."""
    found = np.cumsum(true)
    precision = found / np.arange(1, len(true) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or a higher one
    places = np.searchsorted(found / len(true), RECALLS, side='left')
    return float(np.mean(np.where(places < len(true), best[np.minimum(places, len(true) - 1)], 0)))


def mean_pose(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Where each joint is in the mean of the images on which it is visible, (joints, 2)."""
    weights = visible[..., None].astype(np.float64)
    return (weights * keypoints).sum(0) / np.maximum(weights.sum(0), 1)
