"""Scenes: a pure function of the row, splits that share nothing, and answers that fit what is drawn."""

import dataclasses

import numpy as np
import pytest

from cnn_jax.data import scenes
from cnn_jax.data.formats import fields
from cnn_jax.data.held_out import Part
from cnn_jax.data.scenery import parts
from cnn_jax.errors import CnnJaxError, DataError

PART = Part(0.1, 3)
ANSWERS = ('localization', 'detection', 'segmentation', 'pose')


def scene(row: int, answer: str = 'detection', split: str = 'train', **options):
    made = {'num_objects': (1, 5), 'size': 48, 'colour': False, 'seed': 0} | options
    return scenes.make_scene(scenes._layout(answer, **made), split, PART, row)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize('answer', ANSWERS)
def test_rows_are_kept_whole_and_have_the_declared_fields(answer, tmp_path):
    data = scenes.load(batch_size=4, answer=answer, num_train=20, num_test=6)
    for split, count in {'train': 20, 'validation': 2, 'test': 6}.items():
        first, again = data.open(split, tmp_path), data.open(split, tmp_path)  # made, and read
        rows = [first[row] for row in range(count)]
        assert len(first) == len(again) == count == data.splits[split]
        assert fields.stack(data.row_fields, rows, range(count)).keys() == data.row_fields.keys()
        assert all(row['image'].shape == data.image_shape for row in rows)
        np.testing.assert_equal(rows[1], again[1])


def test_splits_share_no_scan_and_no_part_of_a_photograph():
    for part in (PART, Part(0.5, 1), Part(0.0, 0)):
        splits = ('train', 'validation', 'test') if part.share else ('train', 'test')
        sides = [parts.parts_of(split, part) for split in splits]
        counts = [len(side.scans) for side in sides]
        assert sum(counts) == 1797
        places = [(cell.__array_interface__['data'][0], cell.shape) for side in sides for cell in side.cells]
        assert len(set(places)) == len(places)
        whole = sum(photograph[..., 0].size for photograph in parts._photographs())
        assert sum(cell[..., 0].size for side in sides for cell in side.cells) == whole


def test_folds_hold_out_different_parts():
    held = [parts.parts_of('validation', Part(0.1, fold)) for fold in (0, 1)]
    data = [side.cells[0].__array_interface__['data'][0] for side in held]
    assert data[0] != data[1]
    assert not {scan.tobytes() for scan in held[0].scans} & {scan.tobytes() for scan in held[1].scans}


@pytest.mark.parametrize('options', [{}, {'size': 64, 'colour': True}])
def test_boxes_and_masks_are_around_what_is_drawn(options):
    for row in range(30):
        made = scene(row, **options)
        there = made['boxes'][:, 2] > made['boxes'][:, 0]
        assert 1 <= there.sum() <= 5
        covered = np.zeros(made['segmentation'].shape, bool)
        for place in np.flatnonzero(there):
            left, top, right, bottom = made['boxes'][place].astype(int)
            covered[top:bottom, left:right] = True
            assert (made['segmentation'][top:bottom, left:right] == made['box_label'][place] + 1).any()
        assert not made['segmentation'][~covered].any()
        brightest = made['image'].max(-1)
        assert brightest[made['segmentation'] > 0].mean() > brightest[~covered].mean()


def test_no_digit_covers_much_of_another():
    for row in range(30):
        boxes = scene(row)['boxes']
        for one in boxes[boxes[:, 2] > 0]:
            for other in boxes[boxes[:, 2] > 0]:
                sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
                smaller = min(np.prod(box[2:] - box[:2]) for box in (one, other))
                assert one is other or np.prod(np.maximum(sides, 0)) <= 0.1 * smaller or (one == other).all()


def test_joints_stand_on_what_is_drawn():
    """A joint of a limb is where the limb is bright, and all of them are in the box."""
    for row in range(30):
        made = scene(row, 'pose')
        left, top, right, bottom = made['boxes'][0]
        x, y = made['keypoints'].T
        assert (x >= left - 1).all() and (x <= right + 1).all() and (y >= top - 1).all() and (y <= bottom + 1).all()  # noqa: PT018
        covered = made['segmentation'][np.floor(y[1:]).astype(int), np.floor(x[1:]).astype(int)] > 0
        assert covered.mean() > 0.9


def test_a_scene_is_a_pure_function_of_seed_split_and_row():
    np.testing.assert_equal(scene(5), scene(5))
    others = [scene(6), scene(5, split='test'), scene(5, seed=1)]
    assert all((scene(5)['image'] != other['image']).any() for other in others)


def test_no_row_stands_for_another(tmp_path):
    """What a file holds is read off its name: other options are another file."""
    loads = [{}, {'seed': 1}, {'size': 64}, {'colour': True}, {'num_objects': (1, 4)}, {'fold': 1}, {'num_train': 9}]
    for options in loads:
        scenes.load(**{'batch_size': 2, 'num_train': 8, 'num_test': 2, **options}).open('train', tmp_path)
    assert len(list(tmp_path.rglob('*.npz'))) == len(loads)


def test_a_changed_file_is_refused(tmp_path):
    data = scenes.load(batch_size=2, num_train=8, num_test=2, validation=0)
    data.open('train', tmp_path)
    (file,) = tmp_path.rglob('*.npz')
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files} | {'box_label': stored['box_label'] + 1}
    np.savez(file, **arrays)
    with pytest.raises(DataError, match='was changed; delete it'):
        data.open('train', tmp_path)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r'cannot be read: .*; delete it'):
        data.open('train', tmp_path)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ({'answer': 'boxes'}, "answer: 'boxes' given; it is one of localization"),
        ({'size': 20}, 'at least 32 pixels'),
        ({'num_objects': (3, 2)}, 'num_objects: got'),
        ({'validation': 0.05}, 'validation: got 0.05; of scenes it is 0, or from 0.1 to 0.5'),
        ({'fold': 10}, 'folds 0 to 9'),
    ],
)
def test_options_out_of_range_are_named(options, match):
    with pytest.raises(CnnJaxError, match=match):
        scenes.load(**{'batch_size': 2, **options})


def test_folds_keep_the_options():
    data = scenes.load(batch_size=2, answer='pose', size=64, num_train=20)
    functions = {name: getattr(data, name) for name in ('open', 'prepare', 'make_fold')}
    assert dataclasses.replace(data.with_fold(2).with_fold(0), **functions) == data
