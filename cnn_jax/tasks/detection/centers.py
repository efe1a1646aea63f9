"""What CenterNet is trained with: a bump of its class for each object, and the box at the place of its centre."""

import jax
import jax.numpy as jnp

from cnn_jax.data.formats.annotations import present

OVERLAP = 0.7  # IoU that a box keeps whose centre is moved by the radius of the bump
ALPHA, BETA = 2.0, 4.0  # of the focal loss
SIZE_WEIGHT = 0.1


def center_loss(
    scores: jax.Array, boxes: jax.Array, targets: dict[str, jax.Array], image: tuple[int, int]
) -> jax.Array:
    """The loss of each image, (batch,): focal loss of the bumps, L1 of offset and size at the centres.

    Zhou et al. 2019, arXiv:1904.07850, equations 1 to 4. Differs: it is divided by the objects of each image, not of
    the batch, so that it does not depend on the other images; offset and size count in places of the map.

    Args:
        scores: logits (batch, rows, columns, classes).
        boxes: (batch, rows, columns, 4), in pixels.
        targets: `boxes` (batch, most, 4), `box_label` (batch, most), and `crowd`, bool (batch, most), where there is
            one: within these, whether their class is there counts at the centres of its other objects alone.
        image: (height, width) of the images.
    """
    rows, columns, classes = scores.shape[1:]
    stride = jnp.array([image[1] / columns, image[0] / rows] * 2, jnp.float32).reshape(1, 1, 4)
    truth = targets['boxes'] / stride  # in places of the map
    crowd = targets.get('crowd', jnp.zeros(truth.shape[:2], bool))
    objects = present(truth) & ~crowd
    bumps = _bumps(truth, targets['box_label'], objects, (rows, columns, classes))
    focal = _focal(scores, bumps)
    if 'crowd' in targets:
        covered = _covered(truth, targets['box_label'], present(truth) & crowd, (rows, columns, classes))
        focal = jnp.where(covered & (bumps < 1), 0, focal)
    number = jnp.maximum(jnp.sum(objects, -1), 1)
    predicted = _at_centres(boxes, truth) / stride  # (batch, most, 4)
    offset = jnp.abs(_centre(predicted) - _centre(truth))
    size = jnp.abs(_size(predicted) - _size(truth))
    regression = jnp.sum(jnp.where(objects[..., None], offset + SIZE_WEIGHT * size, 0), (1, 2))
    return (jnp.sum(focal, (1, 2, 3)) + regression) / number


def _centre(boxes: jax.Array) -> jax.Array:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _size(boxes: jax.Array) -> jax.Array:
    return boxes[..., 2:] - boxes[..., :2]


def _places(boxes: jax.Array, rows: int, columns: int) -> jax.Array:
    """The place (column, row) of each box's centre, int32 (..., 2); one on the right or lower edge is in the last."""
    centre = jnp.floor(_centre(boxes)).astype(jnp.int32)
    return jnp.stack([centre[..., 0].clip(0, columns - 1), centre[..., 1].clip(0, rows - 1)], -1)


def _at_centres(dense: jax.Array, truth: jax.Array) -> jax.Array:
    """Of (batch, rows, columns, 4) the boxes at the centres of `truth` (batch, most, 4)."""
    rows, columns = dense.shape[1:3]
    place = _places(truth, rows, columns)
    flat = dense.reshape(len(dense), -1, 4)
    return jnp.take_along_axis(flat, (place[..., 1] * columns + place[..., 0])[..., None], 1)


def radius(size: jax.Array) -> jax.Array:
    """How far a box of `size` (..., 2) can be moved across and down at once so that the IoU is `OVERLAP`; (...).

    Moved by r, the two share (w - r)(h - r), which is w h 2 IoU / (1 + IoU): r is the smaller root of this. It is 0 for
    a box without an area. Differs from CornerNet's code, which solves this and two more cases with wrong roots; the
    corners of a box move there, and its centre here.
    """
    width, height = size[..., 0], size[..., 1]
    total, missing = width + height, width * height * (1 - 2 * OVERLAP / (1 + OVERLAP))
    larger = total + jnp.sqrt(jnp.maximum(total**2 - 4 * missing, 0))  # twice the other root; their product is missing
    return jnp.where(larger > 0, 2 * missing / jnp.where(larger > 0, larger, 1), 0)


def _bumps(truth: jax.Array, labels: jax.Array, objects: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Gaussian bumps (batch, rows, columns, classes), 1 at the centre of each object; of two the higher counts."""
    rows, columns, _ = shape
    place = _places(truth, rows, columns)
    sigma = jnp.maximum((2 * radius(_size(truth)) + 1) / 6, 1e-3)

    def add(bumps: jax.Array, one: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        place, sigma, label, there = one  # (batch, 2), (batch,), (batch,), (batch,)
        across = jnp.arange(columns)[None, :] - place[:, :1]  # (batch, columns)
        down = jnp.arange(rows)[None, :] - place[:, 1:]
        squares = down[:, :, None] ** 2 + across[:, None, :] ** 2
        bump = jnp.where(there[:, None, None], jnp.exp(-squares / (2 * sigma[:, None, None] ** 2)), 0)
        batch = jnp.arange(len(bumps))
        return bumps.at[batch, :, :, label].max(bump), None

    moved = [jnp.moveaxis(array, 1, 0) for array in (place, sigma, labels, objects)]
    empty = jnp.zeros((len(truth), *shape), jnp.float32) + 0 * truth[:, 0, 0].reshape(-1, 1, 1, 1)  # varies as they do
    return jax.lax.scan(add, empty, tuple(moved))[0]


def _covered(boxes: jax.Array, labels: jax.Array, there: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Whether the middle of each place is in a box of each class that is there, (batch, rows, columns, classes)."""
    rows, columns, classes = shape
    x, y = ((jnp.arange(length) + 0.5).reshape(1, 1, -1) for length in (columns, rows))
    across = (x >= boxes[..., :1]) & (x < boxes[..., 2:3])  # (batch, most, columns)
    down = (y >= boxes[..., 1:2]) & (y < boxes[..., 3:])  # (batch, most, rows)
    each = jax.nn.one_hot(labels, classes) * there[..., None]  # (batch, most, classes)
    inside = down[..., :, None] & across[..., None, :]
    return jnp.einsum('bmrc,bmk->brck', inside.astype(jnp.float32), each) > 0


def _focal(scores: jax.Array, bumps: jax.Array) -> jax.Array:
    """The penalty-reduced focal loss of each place and class."""
    yes, no = jax.nn.log_sigmoid(scores), jax.nn.log_sigmoid(-scores)
    share = jax.nn.sigmoid(scores)
    at_centre = -((1 - share) ** ALPHA) * yes
    around = -((1 - bumps) ** BETA) * share**ALPHA * no
    return jnp.where(bumps == 1, at_centre, around)
