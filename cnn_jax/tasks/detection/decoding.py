"""From dense scores and boxes to a list of detections, inside jit, with static shapes."""

import jax
import jax.numpy as jnp

from cnn_jax import ops


def detections(scores: jax.Array, boxes: jax.Array, most: int) -> dict[str, jax.Array]:
    """The `most` best peaks: places whose score is the highest of its 3x3 neighbours, each class by itself.

    Args:
        scores: logits (batch, rows, columns, classes).
        boxes: (batch, rows, columns, 4).
        most: how many are kept of an image; fewer if there are not so many places.

    Returns:
        `score` (batch, most), from 0 to 1, falling; `class` int32 (batch, most); `box` (batch, most, 4). Places that
        are no peak, and scores that are not numbers, have the score 0.
    """
    rows, columns, classes = scores.shape[1:]
    shares = jnp.nan_to_num(jax.nn.sigmoid(scores), nan=0.0)
    highest = ops.max_pool(shares, window=3, stride=1, padding=1)
    flat = jnp.where(shares >= highest, shares, 0).reshape(len(scores), -1)  # place by place, its classes together
    best, where = jax.lax.top_k(flat, min(most, rows * columns * classes))
    box = jnp.take_along_axis(boxes.reshape(len(boxes), -1, 4), (where // classes)[..., None], 1)
    finite = jnp.isfinite(box).all(-1)
    return {
        'score': jnp.where(finite, best, 0),
        'class': (where % classes).astype(jnp.int32),
        'box': jnp.where(finite[..., None], box, 0),
    }
