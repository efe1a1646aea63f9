"""Poses in COCO's formats: ground truth and results of key points, as pycocotools reads them.

Places are in pixels of the images as the net is shown them. COCO counts pixels from the corner of the image, as
`formats.annotations` does, and its key points are (x, y, v) in one row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.tasks.results import Results

PERSON = 1  # the number of the one category
SEEN, UNLABELLED = 2, 0  # COCO's v


def truths(results: Results, joints: Sequence[str]) -> dict[str, Any]:
    """The right poses of a split: one body on each image that has a visible joint; `area` is its own."""
    annotations = []
    for image, points, visible, area in zip(
        *(results[name] for name in ('index', 'keypoints', 'visible', 'area')), strict=True
    ):
        if visible.any():
            flags = np.where(visible, SEEN, UNLABELLED)
            annotations.append(
                {
                    'id': len(annotations) + 1,  # 0 would be read as no match
                    'image_id': int(image),
                    'category_id': PERSON,
                    'keypoints': _flat(points, flags),
                    'num_keypoints': int(visible.sum()),
                    'bbox': _box(points[visible]),
                    'area': float(area),
                    'iscrowd': 0,
                }
            )
    images = [{'id': one['image_id']} for one in annotations]
    categories = [{'id': PERSON, 'name': 'person', 'keypoints': list(joints)}]
    return {'info': {}, 'images': images, 'annotations': annotations, 'categories': categories}


def answers(results: Results) -> list[dict[str, Any]]:
    """The answers of a split as COCO's results, of the images that `truths` has; none where a place is no number."""
    wanted = np.flatnonzero(results['visible'].any(1) & np.isfinite(results['found']).all((1, 2)))
    scores = body_score(results['found_score'])
    return [result(int(results['index'][row]), results['found'][row], float(scores[row])) for row in wanted]


def result(image: int, places: np.ndarray, score: float) -> dict[str, Any]:
    """One answer: places (joints, 2), (x, y) in pixels."""
    flags = np.full(len(places), 1)  # COCO's metric does not read it
    return {'image_id': image, 'category_id': PERSON, 'keypoints': _flat(places, flags), 'score': score}


def body_score(scores: np.ndarray) -> np.ndarray:
    """How sure an answer is as a whole, (images,), of the scores of its joints (images, joints)."""
    return scores.mean(1)


def _flat(places: np.ndarray, flags: np.ndarray) -> list[float]:
    """x, y, v of each joint one after the other; numbers that JSON keeps as they are."""
    triples = ([float(x), float(y), int(flag)] for (x, y), flag in zip(places, flags, strict=True))
    return [number for triple in triples for number in triple]


def _box(points: np.ndarray) -> list[float]:
    """(left, top, width, height) around points."""
    low, high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
    return [*low.tolist(), *(high - low).tolist()]
