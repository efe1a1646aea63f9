"""From dense scores and boxes to a list of detections, inside jit, with static shapes."""

from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax import ops


def not_finite(outputs: Any) -> jax.Array:
    """Whether a number of an image is not finite, bool (batch,), in arrays (batch, ...) of any structure."""
    each = [jnp.isfinite(array).all(tuple(range(1, array.ndim))) for array in jax.tree.leaves(outputs)]
    return ~jnp.stack(each).all(0)


def detections(scores: jax.Array, boxes: jax.Array, most: int) -> dict[str, jax.Array]:
    """The detections that dense outputs say: see `peaks`.

    Args:
        scores: logits (batch, rows, columns, classes).
        boxes: (batch, rows, columns, 4).
        most: how many are kept of an image; fewer if there are not so many places.

    Returns:
        `score` (batch, most), from 0 to 1, falling; `class` int32 (batch, most); `box` (batch, most, 4). Where there
        are fewer peaks, or a score or its box is not finite, the score is 0, and the box too.
    """
    batch, rows, columns, classes = scores.shape
    score, where = places(scores, boxes, most)
    box = jnp.take_along_axis(boxes.reshape(batch, rows * columns, 4), (where // classes)[..., None], 1)
    return {
        'score': score,
        'class': (where % classes).astype(jnp.int32),
        'box': jnp.where(score[..., None] > 0, box, 0),
    }


def places(scores: jax.Array, boxes: jax.Array, most: int) -> tuple[jax.Array, jax.Array]:
    """The `peaks` with their probabilities in the place of logits: 0 where there are fewer."""
    best, where = peaks(scores, boxes, most)
    return jax.nn.sigmoid(best), where


def peaks(scores: jax.Array, boxes: jax.Array, most: int) -> tuple[jax.Array, jax.Array]:
    """The `most` best peaks: places whose score is the highest of its 3x3 neighbours, each class by itself.

    Neighbours with one score are all peaks. Logits are compared, not probabilities, which are 1 for all of the surest.

    Returns:
        their logits (batch, most), falling, minus infinity where there are fewer or one is not finite; and where each
        is in (rows, columns, classes), flattened.
    """
    batch, rows, columns, classes = scores.shape
    finite = jnp.isfinite(scores) & jnp.isfinite(boxes).all(-1, keepdims=True)
    known = jnp.where(finite, scores, -jnp.inf)
    highest = ops.max_pool(known, window=3, stride=1, padding=1)
    standing = jnp.where(known >= highest, known, -jnp.inf)
    flat = standing.reshape(batch, rows * columns * classes)  # place by place, its classes together
    best, where = jax.lax.top_k(flat, min(most, rows * columns * classes))
    return best, where
