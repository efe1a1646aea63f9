"""What `benchmarks.attribution_truth` counts: hits and shares in closed form; masks that are those of the scenes."""

import numpy as np
import pytest

from benchmarks import attribution_shown as shown
from benchmarks import attribution_truth as truth
from cnn_jax import experiment
from cnn_jax.data import scenes

MASKS = np.zeros((2, 8, 8), bool)
MASKS[:, 2:4, 2:4] = True


def spots(*places):
    maps = np.zeros((2, 8, 8))
    for one in maps:
        for place in places:
            one[place] = 1
    return maps


@pytest.mark.parametrize(
    ('places', 'hits', 'share'),
    [
        ([(2, 2)], 1, 1),
        ([(4, 4)], 1, 0),  # within the tolerance
        ([(5, 3)], 0, 0),
        ([(2, 2), (7, 7)], 0.5, 0.5),  # equally strong
        ([], 16 / 64, 4 / 64),  # a map that says nothing is one number everywhere
    ],
)
def test_hits_and_shares(places, hits, share):
    maps = spots(*places)
    np.testing.assert_allclose(truth.pointing(maps, MASKS), hits)
    np.testing.assert_allclose(truth.inside(maps, MASKS), share)


def test_what_speaks_against_counts_in_the_magnitude_alone():
    maps = spots((2, 2)) - 3 * spots((7, 7))
    row = truth.measured(maps, MASKS)
    assert (row['pointing'][0], row['inside'][0], row['empty']) == (1, 1, 0)
    assert (row['pointing_magnitude'][0], row['inside_magnitude'][0]) == (0, 0.25)
    assert row['pointing'][1] < 0.35  # the interval of two of two


def test_only_the_ink_of_the_object_that_is_asked_about_counts():
    segmentation = np.zeros((8, 8), np.uint8)
    segmentation[1:3, 1:3] = segmentation[5:7, 5:7] = 4  # two threes
    segmentation[1, 2] = 8  # covered by a seven
    found = truth.ink(segmentation, 3, np.array([1.0, 1.0, 3.0, 3.0]))
    assert found.sum() == 3
    assert not found[1, 2]


@pytest.mark.parametrize('task', truth.CASES)
def test_masks_and_blind_maps_are_of_the_scenes(task, data_dir):
    case = truth.CASES[task]
    options = {'answer': task, 'num_objects': case.num_objects, 'num_train': 8, 'num_test': 6, 'validation': 0}
    found = truth.read_scenes(case, scenes.load(batch_size=2, **options), data_dir, 6)
    boxes = found.boxes.astype(int)
    for mask, (left, top, right, bottom) in zip(found.masks, boxes, strict=True):
        assert mask.sum() == mask[top:bottom, left:right].sum() > 5
    blind = truth.blind_maps(found)
    assert truth.inside(blind['image'], found.masks).mean() > truth.inside(blind['uniform'], found.masks).mean()
    place = np.argwhere(blind['place'])[:, 1:]
    np.testing.assert_array_equal(place[:, ::-1], (found.boxes[:, :2] + found.boxes[:, 2:]) // 2)


def test_the_right_answer_is_the_class_of_the_object_at_its_centre():
    found = truth.Scenes(np.zeros((1, 8, 8, 1), np.uint8), np.array([[4.0, 0.0, 8.0, 4.0]]), np.array([2]), MASKS[:1])
    scores = np.zeros((1, 4, 4, 3), np.float32)
    scores[0, 1, 3, 2] = 5
    np.testing.assert_array_equal(truth.targets_of(found, {'scores': scores}), [[1, 3, 2]])
    np.testing.assert_array_equal(truth.targets_of(found, {'scores': np.zeros((1, 3))}), [2])
    task = experiment.load('scenes_detect', {'smoke': True}).experiment.task
    for box, right in ((found.boxes[0], True), (np.array([0.0, 0.0, 2.0, 2.0]), False)):
        boxes = np.broadcast_to(box.astype(np.float32), (1, 4, 4, 4))
        assert truth.is_right(found, task, {'scores': scores - 2, 'boxes': boxes}).tolist() == [right]


def test_the_table_and_the_figure_show_every_row(tmp_path):
    maps = spots((2, 2), (7, 7))
    rows = [{'task': 'detection', 'step': None, 'map': 'edges', **truth.measured(maps, MASKS)}]
    for step in (0, 5):
        rows += [{'task': 'detection', 'step': step, 'map': 'net', 'right': 0.5}]
        rows += [{'task': 'detection', 'step': step, 'map': 'gradient', **truth.measured(maps, MASKS)}]
        rows += [{'task': 'detection', 'step': step, 'map': 'cam', 'not_for_this_net': True}]
    text = shown.table(rows)
    assert 'right answers 50.0% at 0, 50.0% at 5 steps' in text
    assert '| gradient | 50.0% (9 to 91) | 50.0% | 50.0% (50 to 50) | 50.0% | 50.0% | 50.0% |' in text
    assert '| cam |' not in text
    shown.draw(rows, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').stat().st_size > 5000
