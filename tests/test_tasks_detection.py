"""Detection: its loss, its peaks and its boxes against plain loops, and its numbers against pycocotools' files."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.ops.boxes import box_area, box_iou
from cnn_jax.tasks.detection import centers, decoding

ROWS, COLUMNS, CLASSES, MOST = 6, 8, 3, 100
IMAGE = (24, 16)  # so a place is 2 pixels wide and 4 high
WHOLE = [0.0, 0.0, 16.0, 24.0]


@functools.cache
def compiled():
    """The loss of each image and the gradients, one program for all tests."""

    def total(scores, boxes, targets):
        losses = centers.center_loss(scores, boxes, targets, IMAGE)
        return jnp.sum(losses), losses

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))


def loss_of(scores, boxes, targets):
    (_, losses), gradients = compiled()(scores, boxes, targets)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    return np.asarray(losses)


def targets_of(*images):
    """Of each image [(box, label, crowd), ...]."""
    found = {
        'boxes': np.zeros((len(images), MOST, 4), np.float32),
        'box_label': np.zeros((len(images), MOST), np.int32),
        'crowd': np.zeros((len(images), MOST), bool),
    }
    for row, objects in enumerate(images):
        for place, (box, label, crowd) in enumerate(objects):
            found['boxes'][row, place], found['box_label'][row, place] = box, label
            found['crowd'][row, place] = crowd
    return found


def plain_radius(width, height, overlap=0.7):
    """The r at which (w - r)(h - r) shared of 2 w h - shared is the overlap, by bisection."""
    low, high = 0.0, min(width, height)
    for _ in range(60):
        r = (low + high) / 2
        shared = (width - r) * (height - r)
        low, high = (r, high) if shared / (2 * width * height - shared) > overlap else (low, r)
    return low


def plain_loss(scores, boxes, objects):
    """The loss of one image by loops over places, in double precision."""
    scores, boxes = scores.astype(np.float64), boxes.astype(np.float64)
    scale = np.array([COLUMNS / IMAGE[1], ROWS / IMAGE[0]] * 2)
    there = [(np.array(box) * scale, label, crowd) for box, label, crowd in objects]
    there = [one for one in there if one[0][2] > one[0][0] and one[0][3] > one[0][1]]
    real = [(box, label) for box, label, crowd in there if not crowd]
    total = 0.0
    for row, column, label in itertools.product(range(ROWS), range(COLUMNS), range(CLASSES)):
        bump, ignored = 0.0, False
        for box, _ in (one for one in real if one[1] == label):
            x, y = place_of(box)
            sigma = (2 * plain_radius(box[2] - box[0], box[3] - box[1]) + 1) / 6
            bump = max(bump, np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2)))
        for box, _, _ in (one for one in there if one[2] and one[1] == label):
            ignored |= box[0] <= column + 0.5 < box[2] and box[1] <= row + 0.5 < box[3]
        share = 1 / (1 + np.exp(-scores[row, column, label]))
        if bump == 1:
            total -= (1 - share) ** 2 * np.log(share)
        elif not ignored:
            total -= (1 - bump) ** 4 * share**2 * np.log(1 - share)
    for box, _ in real:
        x, y = place_of(box)
        mine = boxes[y, x] * scale
        total += np.abs((mine[:2] + mine[2:]) / 2 - (box[:2] + box[2:]) / 2).sum()
        total += 0.1 * np.abs(mine[2:] - mine[:2] - (box[2:] - box[:2])).sum()
    return total / max(1, len(real))


def place_of(box):
    return min(int((box[0] + box[2]) / 2), COLUMNS - 1), min(int((box[1] + box[3]) / 2), ROWS - 1)


def cases():
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 12, (MOST, 2))
    crowded = [
        ([*corner, *(corner + rng.uniform(1, 12, 2)).clip(0, (16, 24))], rng.integers(CLASSES), False)
        for corner in corners
    ]
    return {
        'nothing': [],
        'a hundred': crowded,
        'at the corners': [([-4, -4, 4, 4], 0, False), ([10, 20, 22, 28], 1, False), (WHOLE, 2, False)],
        'no area': [([3, 3, 3, 9], 0, False), ([5, 9, 9, 2], 1, False), ([2, 2, 6, 6], 1, False)],
        'two of a class in one place': [([2, 2, 8, 8], 1, False), ([3, 3, 7, 7], 1, False)],
        'two classes in one place': [([2, 2, 8, 8], 1, False), ([2, 2, 8, 8], 2, False)],
        'an object in a crowd': [([1, 1, 13, 20], 1, True), ([4, 4, 8, 8], 1, False), ([4, 4, 8, 8], 0, False)],
        'a crowd alone': [(WHOLE, 2, True)],
        'a crowd of no area': [([4, 4, 4, 4], 2, True)],
    }


def test_the_loss_is_that_of_plain_loops_and_of_each_image_alone():
    rng = np.random.default_rng(0)
    objects = list(cases().values())
    scores = rng.normal(0, 2, (len(objects), ROWS, COLUMNS, CLASSES)).astype(np.float32)
    boxes = rng.uniform(0, 20, (len(objects), ROWS, COLUMNS, 4)).astype(np.float32)
    targets = targets_of(*objects)
    losses = loss_of(scores, boxes, targets)
    expected = [plain_loss(*one) for one in zip(scores, boxes, objects, strict=True)]
    np.testing.assert_allclose(losses, expected, rtol=2e-5)
    turned = {name: values[::-1] for name, values in targets.items()}
    np.testing.assert_allclose(loss_of(scores[::-1], boxes[::-1], turned)[::-1], losses, rtol=1e-6)


def outputs_of(targets, sure=12.0):
    """The best answer: a high score and the right box at each centre, a low score elsewhere."""
    images = len(targets['boxes'])
    scores = np.full((images, ROWS, COLUMNS, CLASSES), -sure, np.float32)
    boxes = np.zeros((images, ROWS, COLUMNS, 4), np.float32)
    scale = np.array([COLUMNS / IMAGE[1], ROWS / IMAGE[0]] * 2)
    for row, place in np.argwhere((targets['boxes'][..., 2] > targets['boxes'][..., 0]) & ~targets['crowd']):
        box = targets['boxes'][row, place]
        x, y = place_of(box * scale)
        scores[row, y, x, targets['box_label'][row, place]] = sure
        boxes[row, y, x] = box
    return scores, boxes


def test_the_right_answer_has_the_lowest_loss():
    targets = targets_of([([2, 3, 7, 9], 1, False), ([8, 10, 15, 23], 0, False)], [])
    scores, boxes = outputs_of(targets)
    best = loss_of(scores, boxes, targets)
    assert best.max() < 1e-3
    rng = np.random.default_rng(0)
    for _ in range(8):
        assert (loss_of(scores + rng.normal(0, 8, scores.shape).astype(np.float32), boxes, targets) > best).all()
        other = loss_of(scores, boxes + rng.normal(0, 1, boxes.shape).astype(np.float32), targets)
        assert other[0] > best[0] + 0.01
        assert other[1] == best[1], 'boxes count at the centres of objects alone'


def test_a_box_moved_by_the_radius_keeps_seven_tenths():
    sizes = np.exp(np.random.default_rng(0).uniform(-3, 6, (200, 2))).astype(np.float32)
    moved = np.asarray(centers.radius(jnp.asarray(sizes)), np.float64)[:, None]
    boxes = np.concatenate([0 * sizes, sizes], 1).astype(np.float64)
    assert (moved > 0).all()
    for signs in itertools.product((-1, 1), (-1, 1)):
        shift = np.tile(np.array(signs) * moved, 2)
        np.testing.assert_allclose(box_iou(boxes, boxes + shift), 0.7, rtol=1e-5)
    assert centers.radius(jnp.array([[0.0, 0.0], [0.0, 5.0]])).tolist() == [0, 0]


def plain_detections(scores, boxes, most):
    """Of one image: the peaks by loops, the surest first, in the order of places where they are equal."""
    fine = np.isfinite(scores) & np.isfinite(boxes).all(-1, keepdims=True)
    known = np.where(fine, scores, -np.inf)
    peaks = []
    for row, column, label in np.ndindex(*known.shape):
        around = known[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2, label]
        if np.isfinite(known[row, column, label]) and known[row, column, label] >= around.max():
            peaks.append((-known[row, column, label], len(peaks), label, boxes[row, column]))
    return [(label, box) for _, _, label, box in sorted(peaks, key=lambda one: one[:2])][:most]


@pytest.mark.parametrize('rows', [1, 5])
@pytest.mark.parametrize('kind', ['any', 'ties', 'sure', 'not numbers', 'none'])
def test_detections_are_the_peaks(kind, rows):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, rows, 4, 2)).astype(np.float32)
    scores = {'ties': np.round(scores) + 0.0, 'sure': scores + 40, 'none': scores * np.nan}.get(kind, scores)
    boxes = rng.uniform(0, 9, (3, rows, 4, 4)).astype(np.float32)
    if kind == 'not numbers':
        scores[:, 0, 0, 0], scores[:, 0, 2, 1], boxes[:, 0, 3, 1] = np.nan, np.inf, np.nan
    found = jax.tree.map(np.asarray, jax.jit(decoding.detections, static_argnums=2)(scores, boxes, 20))
    assert found['score'].shape == (3, min(20, rows * 8)), 'no more than there are places'
    assert (np.diff(found['score']) <= 0).all()
    for image in range(3):
        expected = plain_detections(scores[image], boxes[image], 20)
        count = len(expected)
        assert (found['score'][image, :count] > 0).all()
        assert (found['score'][image, count:] == 0).all()
        assert (found['box'][image, count:] == 0).all()
        assert found['class'][image, :count].tolist() == [label for label, _ in expected]
        if count:
            np.testing.assert_array_equal(found['box'][image, :count], [box for _, box in expected])


@pytest.mark.parametrize('xp', [np, jnp])
def test_overlaps_are_those_of_counted_pixels(xp):
    """Boxes with whole edges cover whole pixels; those of no area cover none."""
    edges = np.random.default_rng(0).integers(0, 7, (40, 4))
    y, x = np.mgrid[:7, :7]
    masks = [(x >= left) & (x < right) & (y >= top) & (y < bottom) for left, top, right, bottom in edges]
    shared = np.array([[(one & other).sum() for other in masks] for one in masks])
    union = np.array([[(one | other).sum() for other in masks] for one in masks])
    boxes = xp.asarray(edges, xp.float32)
    np.testing.assert_array_equal(box_area(boxes), np.diag(shared))
    found = box_iou(boxes[:, None], boxes[None])
    assert isinstance(found, type(boxes))
    np.testing.assert_allclose(found, shared / np.maximum(union, 1), rtol=1e-6)
    assert not box_iou(boxes, xp.nan * boxes).any(), 'what is no number covers nothing'
