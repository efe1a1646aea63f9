"""FCOS: every place in the middle of an object says what it is, and how far its edges are.

Tian et al. 2019, arXiv:1904.01355, with the centre sampling and the generalised IoU of its journal version,
arXiv:2006.09214.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from cnn_jax.data.formats.annotations import present
from cnn_jax.ops.boxes import box_area, box_giou, box_iou

ALPHA, GAMMA = 0.25, 2.0  # of the focal loss
MIDDLE = 1.5  # strides from the centre of an object, across and down, within which places answer for it
REACH = 8.0  # strides: an object whose farthest edge is not farther is the map's, of those that finer maps do not take
CANDIDATES = 1000  # answers of an image that are compared with one another
OVERLAP = 0.6  # IoU from which the less sure of two answers of a class goes
Outputs = Mapping[str, jax.Array]


class Places(NamedTuple):
    """All places of all maps, one after another.

    Attributes:
        point: (places, 2), x and y of their middles, in pixels.
        stride: (places, 2), pixels of a place, across and down.
        least, most: (places,), distances of the farthest edge of an object that is theirs, in pixels.
    """

    point: jax.Array
    stride: jax.Array
    least: jax.Array
    most: jax.Array


class Truth(NamedTuple):
    """What the places are to answer.

    Attributes:
        positive: bool (batch, places), whether it is in the middle of an object.
        label: int32 (batch, places).
        box: (batch, places, 4), in pixels.
        ignored: bool (batch, places), in a crowd, and no object's.
    """

    positive: jax.Array
    label: jax.Array
    box: jax.Array
    ignored: jax.Array


def loss(outputs: Outputs, targets: Mapping[str, jax.Array]) -> jax.Array:
    """The loss of each image, (batch,): focal loss of classes, generalised IoU of boxes, cross-entropy of centerness.

    Differs: each image is divided by its own places, and not the batch by all, so that it does not depend on the other
    images. Within a crowd, places that are no object's do not count.

    Args:
        outputs: of `models.fcos`.
        targets: `boxes` (batch, most, 4), `box_label` (batch, most), and `crowd`, bool (batch, most), where there is
            one.
    """
    scores, boxes, centerness = (outputs[name] for name in ('scores', 'boxes', 'centerness'))
    places = places_of(outputs)
    truth = assign(places, targets)
    wanted = jax.nn.one_hot(truth.label, scores.shape[-1]) * truth.positive[..., None]
    focal = jnp.sum(optax.sigmoid_focal_loss(scores, wanted, alpha=ALPHA, gamma=GAMMA), -1)
    central = _centerness(places.point, truth.box)  # (batch, places)
    number = jnp.maximum(jnp.sum(truth.positive, -1), 1)
    weight = jnp.where(truth.positive, central, 0)
    overlap = jnp.sum(weight * (1 - box_giou(boxes, truth.box)), -1) / jnp.maximum(jnp.sum(weight, -1), 1e-6)
    middle = jnp.where(truth.positive, optax.sigmoid_binary_cross_entropy(centerness, central), 0)
    return (jnp.sum(jnp.where(truth.ignored, 0, focal), -1) + jnp.sum(middle, -1)) / number + overlap


def places_of(outputs: Outputs) -> Places:
    """The places of all maps, which are the same on every image; a map's reach follows from its stride."""
    point, stride = outputs['point'][0], outputs['stride'][0]
    size = jnp.mean(stride, -1)
    finest, coarsest = size == size[0], size == size[-1]
    return Places(point, stride, jnp.where(finest, 0, size * REACH / 2), jnp.where(coarsest, jnp.inf, size * REACH))


def assign(places: Places, targets: Mapping[str, jax.Array]) -> Truth:
    """Gives each place the smallest of the objects in whose middle it is, and whose size is its map's."""
    boxes, labels = targets['boxes'], targets['box_label']
    crowd = targets.get('crowd', jnp.zeros(labels.shape, bool))
    point, stride = places.point[None, :, None], places.stride[None, :, None]  # (1, places, 1, 2)
    corner, opposite = boxes[:, None, :, :2], boxes[:, None, :, 2:]  # (batch, 1, most, 2)
    edges = jnp.concatenate([point - corner, opposite - point], -1)  # (batch, places, most, 4)
    inside = jnp.min(edges, -1) > 0
    middle = jnp.max(jnp.abs(point - (corner + opposite) / 2) / stride, -1) < MIDDLE
    farthest = jnp.max(edges, -1)
    of_map = (farthest > places.least[None, :, None]) & (farthest <= places.most[None, :, None])
    own = inside & middle & of_map & (present(boxes) & ~crowd)[:, None]
    area = jnp.where(own, box_area(boxes)[:, None], jnp.inf)
    chosen = jnp.argmin(area, -1)  # (batch, places)
    positive = jnp.any(own, -1)
    return Truth(
        positive,
        jnp.take_along_axis(labels, chosen, 1),
        jnp.take_along_axis(boxes, chosen[..., None], 1),
        jnp.any(inside & crowd[:, None], -1) & ~positive,
    )


def _centerness(point: jax.Array, boxes: jax.Array) -> jax.Array:
    """How central a point is in its box, from 0 at an edge to 1 in the middle, (batch, places); 0 outside."""
    before, after = point[None] - boxes[..., :2], boxes[..., 2:] - point[None]
    nearer, farther = jnp.minimum(before, after), jnp.maximum(before, after)
    share = jnp.prod(nearer.clip(0) / jnp.where(farther > 0, farther, 1), -1)
    return jnp.sqrt(jnp.where(share > 0, share, 1)) * (share > 0)


def detections(outputs: Outputs, most: int) -> dict[str, jax.Array]:
    """The answers that `surest` keeps, as `decoding.detections` returns them."""
    score, where = kept(outputs, most)
    classes = outputs['scores'].shape[-1]
    found = jnp.take_along_axis(outputs['boxes'], (where // classes)[..., None], 1)
    return {
        'score': score,
        'class': (where % classes).astype(jnp.int32),
        'box': jnp.where(score[..., None] > 0, found, 0),
    }


def kept(outputs: Outputs, most: int) -> tuple[jax.Array, jax.Array]:
    """The `most` surest answers, of which none overlaps a surer one of its class by `OVERLAP` or more.

    Returns:
        their scores (batch, most), the root of the product of the probabilities of class and centerness, falling, 0
        where there are fewer; and where each is in (places, classes), flattened.
    """
    scores, boxes, centerness = (outputs[name] for name in ('scores', 'boxes', 'centerness'))
    batch, places, classes = scores.shape
    share = jnp.sqrt(jax.nn.sigmoid(scores) * jax.nn.sigmoid(centerness)[..., None])
    share = jnp.where(jnp.isfinite(share) & jnp.isfinite(boxes).all(-1, keepdims=True), share, 0)
    score, where = jax.lax.top_k(share.reshape(batch, -1), min(CANDIDATES, places * classes))
    label = (where % classes).astype(jnp.int32)
    box = jnp.take_along_axis(boxes, (where // classes)[..., None], 1)
    chosen, score = surest(score, label, box, min(most, score.shape[1]))
    return score, jnp.take_along_axis(where, chosen, 1)


def surest(score: jax.Array, label: jax.Array, box: jax.Array, most: int) -> tuple[jax.Array, jax.Array]:
    """Non-maximum suppression: the places and the scores, (batch, most), of answers that no surer one stands for.

    Where there are fewer, the score is 0.
    """

    def choose(left: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        best = jnp.argmax(left, -1)[:, None]  # (batch, 1)
        own = jnp.take_along_axis(box, best[..., None], 1)
        same = label == jnp.take_along_axis(label, best, 1)
        gone = (same & (box_iou(box, own) >= OVERLAP)) | (jnp.arange(left.shape[1])[None] == best)
        value = jnp.take_along_axis(left, best, 1)
        return jnp.where(gone, 0, left), (best[:, 0], value[:, 0])

    _, (places, scores) = jax.lax.scan(choose, score, length=most)
    return places.T, scores.T
