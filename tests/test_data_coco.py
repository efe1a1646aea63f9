"""COCO and FLIC as they come: small trees in the published forms, and what a bad annotation costs."""

import contextlib
import io
import json
import logging

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cnn_jax.data import coco, flic
from cnn_jax.data.formats.annotations import present
from cnn_jax.data.formats.framed import Frame, Square, square_around
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.scenery.small_coco import SMALL, bodies
from cnn_jax.data.scenery.small_sets import HEIGHT, WIDTH, drawn_scene
from cnn_jax.errors import DataError
from cnn_jax.tasks.detection import precision
from cnn_jax.tasks.pose import similarity

SIZE = 48
FACTORS = np.array([SIZE / WIDTH, SIZE / HEIGHT] * 2)


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    """Small trees of both sets, where the published ones lie."""
    folder = tmp_path_factory.mktemp('sets')
    coco.write_small(folder / coco.NAME)
    flic.write_small(folder / flic.NAME)
    return folder


def test_coco_has_boxes_classes_and_crowds(trees):
    source = coco.load(batch_size=2, image_size=SIZE, validation=0).open('test', trees)
    first, crowds = 1 + SMALL['train'], 0
    assert len(source) == SMALL['test']
    for row in range(len(source)):
        scene, found = drawn_scene(first + row, (0, 3)), source[row]
        count = len(scene['boxes'])
        assert present(found['boxes']).sum() == count
        np.testing.assert_array_equal(found['box_label'][:count], scene['box_label'])
        np.testing.assert_allclose(found['boxes'][:count], scene['boxes'] * FACTORS, atol=1e-5)
        np.testing.assert_array_equal(found['crowd'][:count], np.arange(count) == 2)
        crowds += int(found['crowd'].sum())
    assert crowds > 0


def test_the_run_lengths_of_the_small_tree_are_cocos(trees):
    told = _annotations(trees, 'instances')
    crowds = [one for one in told['annotations'] if one['iscrowd']]
    for one in crowds:
        code = coco_mask.frPyObjects(one['segmentation'], *one['segmentation']['size'])
        np.testing.assert_allclose(coco_mask.toBbox(code), one['bbox'], atol=1.01)
    assert crowds


def test_pycocotools_gives_the_annotation_file_the_score_of_the_run(trees):
    """Squeezed boxes have the IoU of those in the file, so that AP and AP50 are the same, with crowds among them."""
    source, rng = coco.load(batch_size=2, image_size=SIZE, validation=0).open('test', trees), np.random.default_rng(0)
    truth, told, rows = _annotations(trees, 'instances'), [], []
    classes = sorted(one['id'] for one in truth['categories'])
    for row, number in enumerate(one['id'] for one in truth['images']):
        right = {name: source[row][name] for name in ('boxes', 'box_label', 'crowd')}
        moved = np.clip(right['boxes'] + rng.normal(0, 0.7, right['boxes'].shape), 0, SIZE)
        there = present(right['boxes']) & present(moved)
        found = np.where(there[:, None], moved, 0)
        score = np.where(there, rng.uniform(0.1, 1, len(there)), 0)
        rows.append(right | {'found_box': found, 'found_class': right['box_label'], 'found_score': score, 'index': row})
        for place in np.flatnonzero(there):
            left, top, right_edge, bottom = found[place] / FACTORS
            box = [left, top, right_edge - left, bottom - top]
            label = classes[right['box_label'][place]]
            told.append({'image_id': number, 'category_id': label, 'bbox': box, 'score': score[place]})
    ours = precision.measure({name: np.stack([row[name] for row in rows]) for name in rows[0]}, coco.CLASS_NAMES)
    assert 0.1 < ours.ap < 0.99
    np.testing.assert_allclose(_pycocotools(truth, told, 'bbox'), [ours.ap, ours.ap50], atol=1e-6)


def test_pycocotools_gives_persons_the_score_of_the_run(trees):
    """Points and areas of squares have the similarity of those in the file."""
    source = coco.load(batch_size=2, answer='pose', image_size=SIZE, validation=0).open('test', trees)
    truth, told, rng = _annotations(trees, 'person_keypoints'), [], np.random.default_rng(0)
    rows = []
    for row, one in enumerate(truth['annotations']):
        left, top, width, height = one['bbox']
        square = square_around((left, top, left + width, top + height), coco.MARGIN)
        found = source[row]['keypoints'] + rng.normal(0, 1.5, source[row]['keypoints'].shape)
        places = found * square.side / SIZE + np.array([square.left, square.top]) - 0.5
        flat = np.column_stack([places, np.ones(len(places))]).flatten().tolist()
        score = float(rng.uniform())
        told.append({'image_id': one['image_id'], 'category_id': 1, 'keypoints': flat, 'score': score})
        rows.append(
            source[row] | {'distance': np.linalg.norm(found - source[row]['keypoints'], axis=-1), 'score': score}
        )
    visible, distance, area, score = (
        np.stack([row[name] for row in rows]) for name in ('visible', 'distance', 'area', 'score')
    )
    ours = similarity.average_precision(visible, distance, area, score, np.array(coco.SIGMAS))
    assert 0.05 < ours < 0.99
    np.testing.assert_allclose(_pycocotools(truth, told, 'keypoints')[0], ours, atol=1e-6)


@pytest.mark.parametrize('load', [coco.load, flic.load])
def test_joints_stand_on_the_puppet(trees, load):
    """A pixel of the square where a shoulder is, is the pixel of the photograph where it was drawn."""
    module = coco if load is coco.load else flic
    options = {'answer': 'pose'} if module is coco else {}
    source = load(batch_size=2, image_size=SIZE, validation=0, **options).open('train', trees)
    shoulders = [module.JOINTS.index(f'{side} shoulder') for side in ('left', 'right')]
    for row, body in zip(range(4), bodies(1 if module is coco else 0, 4, module.JOINTS), strict=True):
        found = source[row]
        np.testing.assert_array_equal(found['visible'], body.visible)
        assert not found['keypoints'][~body.visible].any()
        length = np.linalg.norm(np.subtract(*body.places[shoulders]))
        seen = np.linalg.norm(np.subtract(*found['keypoints'][shoulders]))
        points = body.places[body.visible]
        scale = seen / length
        moved = (points - points[0]) * scale + found['keypoints'][body.visible][0]
        np.testing.assert_allclose(found['keypoints'][body.visible], moved, atol=1e-3)
        column, line = found['keypoints'][shoulders[0]].astype(int)
        if 0 <= column < SIZE and 0 <= line < SIZE:
            x, y = body.places[shoulders[0]].astype(int)
            near = body.image[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].astype(int)
            assert near.min() - 12 <= found['image'][line, column].mean() <= near.max() + 12


def test_a_square_keeps_the_form_and_is_black_outside():
    picture = np.full((20, 30, 3), 200, np.uint8)
    frame = Frame(16)
    square = square_around((0, 0, 30, 20))
    assert square == Square(0, -5, 30)
    cut = frame.cut(picture, square)
    assert (cut[8] == 200).all()
    assert not cut[0].any()
    np.testing.assert_allclose(frame.move(np.array([15.0, 10.0]), square), [8, 8])
    with pytest.raises(BadImage, match='more than'):
        Frame(16, max_pixels=100).cut(picture, square)


def _changed(trees, tmp_path, change, kind='instances'):
    told = _annotations(trees, kind)
    change(told)
    folder = tmp_path / coco.NAME / 'annotations'
    folder.mkdir(parents=True)
    for split in coco.FOLDERS.values():
        (folder / f'{kind}_{split}.json').write_text(json.dumps(told), encoding='utf-8')
    return tmp_path


def _set(*path):
    *keys, value = path

    def change(told):
        for key in keys[:-1]:
            told = told[key]
        told[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (_set('annotations', 0, 'category_id', 12), 'annotation 1?[0-9]+ is of class 12, which is not there'),
        (_set('annotations', 0, 'image_id', 99_999), 'is of image 99999, which is not there'),
        (_set('annotations', 0, 'bbox', [90.0, 0.0, 20.0, 5.0]), 'box 90 0 20 5 on 96 x 72 pixels'),
        (_set('annotations', 0, 'bbox', [1, 2, 3]), 'has no box of four numbers'),
        (_set('annotations', 0, 'bbox', [1, 2, float('nan'), 3]), 'has no box of four numbers'),
        (_set('images', 0, 'file_name', '../secret.jpg'), 'which is a path'),
        (_set('categories', 0, 'name', 'unicorn'), "class 'unicorn' is none of COCO"),
        (_set('annotations', [{}]), 'has not the form of COCO: KeyError'),
    ],
)
def test_a_bad_annotation_is_named(trees, tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        coco.load(batch_size=2).open('test', _changed(trees, tmp_path, change))


def test_a_box_without_area_is_left_out_with_a_word(trees, tmp_path, caplog):
    home = _changed(trees, tmp_path, _set('annotations', 0, 'bbox', [3.0, 3.0, 0.0, 5.0]))
    (home / coco.NAME / 'val2017').symlink_to(trees / coco.NAME / 'val2017')
    with caplog.at_level(logging.WARNING):
        source = coco.load(batch_size=2, image_size=SIZE, validation=0).open('test', home)
    assert 'boxes without area, which are left out: 1 of' in caplog.text
    whole = coco.load(batch_size=2, image_size=SIZE, validation=0).open('test', trees)
    counts = [sum(present(one[row]['boxes']).sum() for row in range(len(one))) for one in (source, whole)]
    assert counts[0] == counts[1] - 1


def test_a_photograph_of_another_size_is_named(trees, tmp_path):
    home = _changed(trees, tmp_path, lambda told: None)
    folder = home / coco.NAME / 'val2017'
    folder.mkdir()
    for file in (trees / coco.NAME / 'val2017').iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    first = _annotations(trees, 'instances')['images'][0]['file_name']
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(folder / first)
    with pytest.raises(DataError, match=f'{first}: it has 7 x 5 pixels, its annotation says 96 x 72'):
        coco.load(batch_size=2, image_size=SIZE).open('test', home)


@pytest.mark.parametrize('load', [coco.load, flic.load])
def test_what_is_not_there_says_what_to_do(load, tmp_path):
    with pytest.raises(DataError, match=r'unpack .* --mode=prepare'):
        load(batch_size=2).open('train', tmp_path)


def test_a_damaged_file_of_matlab_is_named(trees, tmp_path):
    home = tmp_path / flic.NAME
    home.mkdir()
    whole = (trees / flic.NAME / 'examples.mat').read_bytes()
    for content in (b'', b'no file of MATLAB', whole[: len(whole) // 2]):
        (home / 'examples.mat').write_bytes(content)
        with pytest.raises(DataError, match=r'examples.mat cannot be read'):
            flic.load(batch_size=2).open('train', tmp_path)


def _annotations(trees, kind):
    return json.loads((trees / coco.NAME / 'annotations' / f'{kind}_val2017.json').read_text(encoding='utf-8'))


def _pycocotools(truth, told, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        right = COCO()
        right.dataset = truth
        right.createIndex()
        judge = COCOeval(right, right.loadRes(told), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[:2]
