"""How the outputs of a detection net are learned and read: one entry for each kind of net."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from cnn_jax.tasks.detection import centers, decoding, fcos

Outputs = Mapping[str, Any]


class Method(NamedTuple):
    """A kind of net.

    Attributes:
        model: the file in `cnn_jax.models`.
        outputs: the names of what it returns.
        loss: (outputs, targets, (height, width) of the images) -> the loss of each image, (batch,).
        detections: (outputs, most) -> what `decoding.detections` returns.
        places: (outputs, most) -> the score of each detection, (batch, most), from 0 to 1, falling, 0 where there are
            fewer; and where it is in the scores, flattened.
    """

    model: str
    outputs: frozenset[str]
    loss: Callable[[Outputs, dict[str, jax.Array], tuple[int, int]], jax.Array]
    detections: Callable[[Outputs, int], dict[str, jax.Array]]
    places: Callable[[Outputs, int], tuple[jax.Array, jax.Array]]


METHODS = {
    'centernet': Method(
        'centernet',
        frozenset(('scores', 'boxes')),
        lambda outputs, targets, image: centers.center_loss(outputs['scores'], outputs['boxes'], targets, image),
        lambda outputs, most: decoding.detections(outputs['scores'], outputs['boxes'], most),
        lambda outputs, most: decoding.places(outputs['scores'], outputs['boxes'], most),
    ),
    'fcos': Method(
        'fcos',
        frozenset(('scores', 'boxes', 'centerness', 'point', 'stride')),
        lambda outputs, targets, image: fcos.loss(outputs, targets),
        fcos.detections,
        fcos.kept,
    ),
}
