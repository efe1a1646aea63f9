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
    """

    model: str
    outputs: frozenset[str]
    loss: Callable[[Outputs, dict[str, jax.Array], tuple[int, int]], jax.Array]
    detections: Callable[[Outputs, int], dict[str, jax.Array]]


METHODS = {
    'centernet': Method(
        'centernet',
        frozenset(('scores', 'boxes')),
        lambda outputs, targets, image: centers.center_loss(outputs['scores'], outputs['boxes'], targets, image),
        lambda outputs, most: decoding.detections(outputs['scores'], outputs['boxes'], most),
    ),
    'fcos': Method('fcos', frozenset(('scores', 'boxes', 'centerness')), fcos.loss, fcos.detections),
}
