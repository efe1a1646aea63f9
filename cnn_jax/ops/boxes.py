"""Boxes (..., 4), (left, top, right, bottom), whose convention is that of `data.formats.annotations`.

The functions take arrays of JAX or of NumPy, and return what they were given.
"""

from typing import Any


def box_area(boxes: Any) -> Any:
    """The area of each box (..., 4), (...): 0 where an edge is before the opposite one."""
    return (boxes[..., 2] - boxes[..., 0]).clip(0) * (boxes[..., 3] - boxes[..., 1]).clip(0)


def box_iou(boxes: Any, others: Any) -> Any:
    """Intersection over union of boxes (..., 4) that broadcast, (...): from 0 to 1, 0 for two without an area.

    `box_iou(boxes[:, None], others[None])` is that of each with each.
    """
    xp = boxes.__array_namespace__()
    corner, opposite = xp.maximum(boxes[..., :2], others[..., :2]), xp.minimum(boxes[..., 2:], others[..., 2:])
    shared = box_area(xp.concatenate([corner, opposite], axis=-1))
    total = box_area(boxes) + box_area(others) - shared
    return xp.where(total > 0, shared / xp.where(total > 0, total, 1), 0)


def box_giou(boxes: Any, others: Any) -> Any:
    """The generalised IoU of boxes (..., 4) that broadcast, (...): the IoU less what else is in the box around both.

    From -1, far apart, to 1, the same; Rezatofighi et al. 2019, arXiv:1902.09630. Of two without an area it is 0.
    """
    xp = boxes.__array_namespace__()
    corner, opposite = xp.minimum(boxes[..., :2], others[..., :2]), xp.maximum(boxes[..., 2:], others[..., 2:])
    around = box_area(xp.concatenate([corner, opposite], axis=-1))
    overlap, total = box_iou(boxes, others), box_area(boxes) + box_area(others)
    union = total / (1 + overlap)
    return overlap - xp.where(around > 0, (around - union) / xp.where(around > 0, around, 1), 0)
