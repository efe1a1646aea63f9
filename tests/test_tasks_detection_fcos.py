"""FCOS: which places answer for an object, its loss and its suppression, against plain loops and closed forms."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_tasks_detection import targets_of

from cnn_jax.errors import CnnJaxError
from cnn_jax.ops.boxes import box_giou, box_iou
from cnn_jax.tasks import detection
from cnn_jax.tasks.detection import fcos

IMAGE = (48, 32)
SIZES = [(24, 16), (12, 8)]  # strides 2 and 4: objects reach up to 16 pixels, and farther
CLASSES = 3
SMALL, LARGE = [4.0, 6.0, 14.0, 20.0], [1.0, 2.0, 31.0, 46.0]


def outputs_of(rng, batch=2) -> dict[str, Any]:
    """Random outputs with boxes of an area."""
    found = {'scores': [], 'boxes': [], 'centerness': [], 'point': [], 'stride': []}
    for stride, (rows, columns) in zip((2, 4), SIZES, strict=True):
        shape = (batch, rows * columns)
        points = [[(column + 0.5) * stride, (row + 0.5) * stride] for row in range(rows) for column in range(columns)]
        found['point'].append(np.broadcast_to(points, (*shape, 2)))
        found['stride'].append(np.full((*shape, 2), stride))
        corner = rng.uniform(0, 24, (*shape, 2))
        found['scores'].append(rng.normal(-2, 2, (*shape, CLASSES)))
        found['boxes'].append(np.concatenate([corner, corner + rng.uniform(1, 20, (*shape, 2))], -1))
        found['centerness'].append(rng.normal(0, 1, shape))
    return {name: np.float32(np.concatenate(levels, 1)) for name, levels in found.items()}


def plain_places():
    """Of each place its point, stride, and the least and largest distance to a farthest edge, by loops."""
    for stride, (rows, columns), (least, most) in zip((2, 4), SIZES, ((0, 16), (16, np.inf)), strict=True):
        for row in range(rows):
            for column in range(columns):
                yield (column + 0.5) * stride, (row + 0.5) * stride, stride, least, most


def plain_truth(objects):
    """Of each place (label, box, whether it is ignored), by loops; label None where it is no object's."""
    found = []
    for x, y, stride, least, most in plain_places():
        own, ignored = [], False
        for box, label, crowd in objects:
            edges = x - box[0], y - box[1], box[2] - x, box[3] - y
            if min(edges) <= 0:
                continue
            ignored |= crowd
            middle = max(abs(x - (box[0] + box[2]) / 2), abs(y - (box[1] + box[3]) / 2)) < 1.5 * stride
            if middle and least < max(edges) <= most and not crowd:
                own.append(((box[2] - box[0]) * (box[3] - box[1]), label, box))
        chosen = min(own, key=lambda one: one[0]) if own else (0, None, [0.0] * 4)
        found.append((chosen[1], chosen[2], ignored and not own))
    return found


OBJECTS = [
    [(SMALL, 2, False), (LARGE, 0, False), ([3.0, 4.0, 15.0, 22.0], 1, False), ([20.0, 30.0, 32.0, 48.0], 1, True)],
    [([0.0, 0.0, 0.0, 0.0], 0, False), ([30.0, 46.0, 32.0, 48.0], 1, False), ([5.0, 5.0, 5.0, 9.0], 2, False)],
    [],
]


def test_places_answer_for_the_smallest_object_in_whose_middle_they_are():
    places = fcos.places_of(outputs_of(np.random.default_rng(0)))
    truth = fcos.assign(places, targets_of(*OBJECTS))
    for row, objects in enumerate(OBJECTS):
        for place, (label, box, ignored) in enumerate(plain_truth(objects)):
            assert bool(truth.positive[row, place]) == (label is not None)
            assert bool(truth.ignored[row, place]) == ignored
            if label is not None:
                assert int(truth.label[row, place]) == label
                np.testing.assert_array_equal(truth.box[row, place], box)
    assert truth.positive[0].any()
    assert truth.positive[1].sum() == 1  # the one at the border
    assert not truth.positive[2].any()


def plain_loss(outputs, row, objects):
    """The loss of one image by loops, in double precision."""
    flat = {name: np.asarray(values[row], np.float64) for name, values in outputs.items()}
    focal = centre = overlap = weights = number = 0.0
    for place, ((label, box, ignored), (x, y, *_)) in enumerate(zip(plain_truth(objects), plain_places(), strict=True)):
        for one in range(CLASSES):
            share = 1 / (1 + np.exp(-flat['scores'][place, one]))
            if one == label:
                focal -= 0.25 * (1 - share) ** 2 * np.log(share)
            elif not ignored:
                focal -= 0.75 * share**2 * np.log(1 - share)
        if label is not None:
            left, top, right, bottom = x - box[0], y - box[1], box[2] - x, box[3] - y
            wanted = np.sqrt(min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom))
            given = 1 / (1 + np.exp(-flat['centerness'][place]))
            centre -= wanted * np.log(given) + (1 - wanted) * np.log(1 - given)
            overlap += wanted * (1 - plain_giou(flat['boxes'][place], box))
            weights, number = weights + wanted, number + 1
    return (focal + centre) / max(number, 1) + overlap / max(weights, 1e-6)


def plain_giou(one, other):
    width, height = (min(one[at + 2], other[at + 2]) - max(one[at], other[at]) for at in (0, 1))
    shared = max(width, 0) * max(height, 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    wide, high = (max(one[at + 2], other[at + 2]) - min(one[at], other[at]) for at in (0, 1))
    return shared / union - (wide * high - union) / (wide * high)


def test_the_loss_is_that_of_loops_and_its_gradient_is_finite():
    outputs, targets = outputs_of(np.random.default_rng(0), batch=3), targets_of(*OBJECTS)

    @jax.jit
    def total(outputs):
        losses = fcos.loss(outputs, targets)
        return jnp.sum(losses), losses

    (_, losses), gradients = jax.value_and_grad(total, has_aux=True)(outputs)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    expected = [plain_loss(outputs, row, objects) for row, objects in enumerate(OBJECTS)]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_a_better_answer_has_a_lower_loss():
    targets = targets_of([(SMALL, 2, False), (LARGE, 0, False)])
    outputs: Any = outputs_of(np.random.default_rng(0), batch=1)
    fixed = {name: outputs.pop(name) for name in ('point', 'stride')}
    outputs = jax.tree.map(jnp.zeros_like, outputs)
    whole = jnp.array([0.0, 0.0, IMAGE[1], IMAGE[0]])  # a box without an area has no gradient
    outputs['boxes'] = jnp.broadcast_to(whole, outputs['boxes'].shape)
    step = jax.jit(jax.value_and_grad(lambda outputs: jnp.sum(fcos.loss(outputs | fixed, targets))))
    optimizer = optax.adam(0.3)
    state, first = optimizer.init(outputs), step(outputs)[0]
    for _ in range(150):
        value, gradient = step(outputs)
        change, state = optimizer.update(gradient, state)
        outputs = optax.apply_updates(outputs, change)
    assert float(value) < 0.2 * float(first)
    found: Any = jax.jit(lambda outputs: fcos.detections(outputs | fixed, 5))(outputs)
    assert {*np.asarray(found['class'])[0, :2].tolist()} == {0, 2}
    assert np.asarray(found['score'])[0, 2] < 0.25 < 0.5 < np.asarray(found['score'])[0, 1]  # one answer for each
    for box in (SMALL, LARGE):
        assert float(box_iou(found['box'][0, :2], jnp.array([box])).max()) > 0.9


@pytest.mark.parametrize('seed', range(3))
def test_suppression_is_that_of_a_loop(seed):
    rng, count = np.random.default_rng(seed), 40
    corner = rng.uniform(0, 10, (2, count, 2))
    box = np.concatenate([corner, corner + rng.uniform(4, 12, (2, count, 2))], -1).astype(np.float32)
    label = rng.integers(0, 2, (2, count)).astype(np.int32)
    score = -np.sort(-rng.uniform(0, 1, (2, count)).astype(np.float32), axis=1)
    places, scores = jax.jit(fcos.surest, static_argnums=3)(score, label, box, count)
    for row in range(2):
        kept = []
        for place in range(count):
            overlaps = [
                float(box_iou(box[row, place], box[row, one])) for one in kept if label[row, one] == label[row, place]
            ]
            if all(overlap < fcos.OVERLAP for overlap in overlaps):
                kept.append(place)
        assert np.asarray(places)[row, : len(kept)].tolist() == kept
        np.testing.assert_array_equal(np.asarray(scores)[row, : len(kept)], score[row, kept])
        assert not np.asarray(scores)[row, len(kept) :].any()


def test_an_answer_that_is_no_number_is_never_found():
    outputs = outputs_of(np.random.default_rng(0))
    outputs['scores'][0, 30] = np.nan
    outputs['boxes'][1, 400] = np.inf
    found = fcos.detections(outputs, 100)
    assert all(np.isfinite(leaf).all() for leaf in found.values())
    read = detection.task(method='fcos').read(outputs)
    assert np.isnan(read['score']).all()  # for both images have one


def test_giou_in_closed_form():
    box = np.array([0.0, 0.0, 2.0, 2.0])
    assert box_giou(box, box) == 1
    assert box_giou(box, np.array([2.0, 0.0, 4.0, 2.0])) == 0  # side by side
    assert box_giou(box, np.array([4.0, 0.0, 6.0, 2.0])) == pytest.approx(-1 / 3)
    assert box_giou(box, np.array([1.0, 0.0, 3.0, 2.0])) == pytest.approx(1 / 3)
    assert box_giou(np.zeros(4), np.zeros(4)) == 0


def test_a_method_that_is_not_the_models_is_one_line():
    with pytest.raises(CnnJaxError, match="unknown detection method: 'yolo'; choose from: centernet, fcos"):
        detection.task(method='yolo')
    with pytest.raises(CnnJaxError, match=r"method 'centernet' reads the outputs boxes, scores, as models\.centernet"):
        detection.task().read(outputs_of(np.random.default_rng(0)))


def test_what_is_explained_is_the_score_of_a_kept_answer():
    outputs, task = outputs_of(np.random.default_rng(0), batch=1), detection.task(method='fcos')
    read, names = task.read(outputs), ('cat', 'dog', 'cow')
    for unit in (None, 0, 3):
        explained = task.explained({name: values[0] for name, values in outputs.items()}, unit, names)
        ((place, label),) = np.argwhere(explained.target)
        assert label == read['class'][0, unit or 0]
        np.testing.assert_array_equal(outputs['boxes'][0, place], read['box'][0, unit or 0])
        assert explained.about.startswith(f'{names[label]} {100 * read["score"][0, unit or 0]:.0f} % at ')
    with pytest.raises(CnnJaxError, match='unit: 500 given; a detection is 0 to 99'):
        task.explained({name: values[0] for name, values in outputs.items()}, 500, names)
