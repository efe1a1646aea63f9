"""What the fields of a batch mean, beside its images: the one convention for boxes, key points and segmentations.

A place in an image is (x, y) in pixels of the image as it stands in the batch: x to the right, y down, from the upper
left CORNER of the upper left pixel. The pixel in row r and column c covers [c, c + 1] x [r, r + 1]; its centre is
(c + 0.5, r + 0.5); the image is [0, width] x [0, height]. So a resize multiplies, a mirror is width - x, and the width
of a box is right - left. (Arrays are indexed [row, column], which is y first.)

| field | dtype and shape | meaning |
|---|---|---|
| 'image' | uint8 or float (batch, height, width, channels) | |
| 'mask' | bool (batch,) | whether the row is real; NOT a segmentation |
| 'label' | int32 (batch,) | the class of the image |
| 'boxes' | float32 (batch, most_boxes, 4) | (left, top, right, bottom): edges, not last pixels; within the image |
| 'box_label' | int32 (batch, most_boxes) | the class of the box in the same place of 'boxes' |
| 'keypoints' | float32 (batch, points, 2) | (x, y); (batch, most_boxes, points, 2) for the points of each box |
| 'visible' | bool, 'keypoints' without its last axis | whether the point is labelled and in the image |
| 'segmentation' | integer (batch, height, width) | the class of each pixel, or `IGNORE` |
| 'high_resolution' | uint8 (batch, height * scale, width * scale, channels) | the image that 'image' was shrunk from |

A box that is absent is (0, 0, 0, 0): `present` reads it off the box, and nothing else says it. Rows keep their places,
so that what belongs to a box ('box_label', and any field of the user's own) needs no change when a box becomes absent.
A point that is not visible is (0, 0).

Others: COCO's boxes are (left, top, width, height), of the same corner and unit; its `v` is 0, 1 (hidden) or 2, and
'visible' is v > 0, which is what its metric counts. TFDS has (top, left, bottom, right) as shares of the sides: see
`boxes_of_shares`. A data set that counts pixels has a point at the index c of a pixel: add 0.5.
"""

from typing import Any

import numpy as np

IGNORE = 255
"""The class of a pixel that counts neither in the loss nor in the metric, as in PASCAL VOC."""

FOLLOWING = ('boxes', 'keypoints', 'segmentation', 'high_resolution')
"""The fields that say where something is in the image, and follow when its pixels move."""


def present(boxes: Any) -> Any:
    """Which boxes (..., 4), of JAX or of NumPy, are there, bool (...): those with an area."""
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def boxes_of_shares(shares: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes (..., 4) of TFDS, (top, left, bottom, right) in 0 .. 1, as this file has them, float32."""
    sides = np.array([width, height, width, height], np.float32)
    return np.asarray(shares, np.float32)[..., [1, 0, 3, 2]] * sides


def box_around(mask: np.ndarray) -> np.ndarray:
    """The smallest box around what is true in a mask (height, width), float32 (4,): edges, not last pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
