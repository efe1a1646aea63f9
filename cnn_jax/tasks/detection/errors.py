"""What is wrong with the answers of a detector: where it looked, what it said, or that nothing was there.

The kinds are those of TIDE (Bolya, Foley, Hays and Hoffman 2020, arXiv:2008.08115), with its two overlaps. Differs:
they are counted, over the answers with a score of at least `SURE`, and not weighed by the average precision that each
costs.
"""

from collections.abc import Mapping

import numpy as np

from cnn_jax.data.formats.annotations import present
from cnn_jax.ops.boxes import box_area, box_iou

SURE = 0.3  # score
FOUND, NEAR = 0.5, 0.1  # IoU of an object that is found, and of one that was meant
KINDS: tuple[str, ...] = ('right', 'duplicate', 'localisation', 'confusion', 'both', 'background', 'missed')
RIGHT, DUPLICATE, LOCALISATION, CONFUSION, BOTH, BACKGROUND, MISSED = KINDS
MEANINGS = {
    RIGHT: 'the class is right and the IoU at least a half',
    DUPLICATE: 'right, but a surer answer has found that object',
    LOCALISATION: 'the class is right, the IoU with such an object 0.1 to 0.5',
    CONFUSION: 'the place is right, the class another',
    BOTH: 'the class is another and the IoU 0.1 to 0.5',
    BACKGROUND: 'no object there',
    MISSED: 'objects that no answer was right for, or at the wrong place, or of another class',
}


def split_errors(results: Mapping[str, np.ndarray]) -> dict[str, int]:
    """How many answers of a split are of each kind of `KINDS`, and how many objects were missed.

    results: of `tasks.detection`. Answers that lie by half in a crowd of their class do not count, found objects aside.
    """
    total = dict.fromkeys(KINDS, 0)
    for place in range(len(results['index'])):
        sure = np.flatnonzero(results['found_score'][place] >= SURE)
        order = sure[np.argsort(-results['found_score'][place][sure], kind='stable')]
        there = present(results['boxes'][place])
        objects, crowd = there & ~results['crowd'][place], there & results['crowd'][place]
        kinds = _of_image(
            results['found_box'][place][order], results['found_class'][place][order],
            results['boxes'][place][objects], results['box_label'][place][objects],
            results['boxes'][place][crowd], results['box_label'][place][crowd],
        )  # fmt: skip
        for kind, count in kinds.items():
            total[kind] += count
    return total


def _of_image(
    found: np.ndarray, classes: np.ndarray, boxes: np.ndarray, labels: np.ndarray, crowds: np.ndarray, of: np.ndarray
) -> dict[str, int]:
    """The kinds of the answers of an image, the surest first, and of its objects; `of` are the classes of `crowds`."""
    counts, taken, meant = dict.fromkeys(KINDS, 0), np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    overlaps = box_iou(found[:, None], boxes[None]) if len(boxes) else np.zeros((len(found), 0))
    for overlap, label, box in zip(overlaps, classes, found, strict=True):
        same = labels == label
        free, own, other = (np.where(which, overlap, 0) for which in (same & ~taken, same, ~same))
        if free.max(initial=0) >= FOUND:
            taken[free.argmax()] = True
            counts[RIGHT] += 1
        elif own.max(initial=0) >= FOUND:
            counts[DUPLICATE] += 1
        elif _in_crowd(box, crowds[of == label]):
            continue
        elif own.max(initial=0) >= NEAR:
            meant[own.argmax()] = True
            counts[LOCALISATION] += 1
        elif other.max(initial=0) >= FOUND:
            meant[other.argmax()] = True
            counts[CONFUSION] += 1
        else:
            counts[BOTH if other.max(initial=0) >= NEAR else BACKGROUND] += 1
    counts[MISSED] = int(np.sum(~taken & ~meant))
    return counts


def _in_crowd(box: np.ndarray, crowds: np.ndarray) -> bool:
    """Whether half of a box lies in one crowd: COCO's measure of these."""
    area = float(box_area(box))
    if not len(crowds) or area <= 0:
        return False
    corner, opposite = np.maximum(box[:2], crowds[:, :2]), np.minimum(box[2:], crowds[:, 2:])
    shared = (opposite - corner).clip(0).prod(-1)
    return bool(shared.max() >= FOUND * area)
