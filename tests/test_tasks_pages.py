"""What the pages of tasks show: errors and shares in closed form, the cases, and each task's sections."""

import importlib
from typing import Any

import numpy as np
import pytest
from test_tasks_contract import TASKS, made_with_other_numbers

from cnn_jax.drawing.overlay import GAP, LEAST_SIDE, Overlay, class_colours
from cnn_jax.tasks import captioning, cases
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.detection import errors
from cnn_jax.tasks.localization import page as localization_page
from cnn_jax.tasks.pose import page as pose_page
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.super_resolution import page as super_resolution_page

NAMES = ['ground', 'one', 'two']
SIZE, IMAGES, JOINTS = 24, 5, 3


def detection_results(objects: Any, found: Any) -> dict[str, np.ndarray]:
    """Of one image: objects (box, class, crowd), and answers (box, class, score)."""
    none = ((0, 0, 0, 0), 0, 0)
    objects, found = ([*given, none, none] for given in (objects, found))
    boxes, labels, crowd = (np.array([one[at] for one in objects])[None] for at in range(3))
    answers, classes, scores = (np.array([one[at] for one in found])[None] for at in range(3))
    return {
        'index': np.arange(1), 'boxes': boxes.astype(np.float32), 'box_label': labels, 'crowd': crowd.astype(bool),
        'found_box': answers.astype(np.float32), 'found_class': classes, 'found_score': scores.astype(np.float32),
    }  # fmt: skip


WHOLE, HALF, FAR = (0, 0, 10, 10), (0, 0, 10, 4), (30, 30, 40, 40)


@pytest.mark.parametrize(
    ('objects', 'found', 'kinds'),
    [
        ([(WHOLE, 1, 0)], [(WHOLE, 1, 0.9)], {'right': 1}),
        ([(WHOLE, 1, 0)], [(WHOLE, 1, 0.9), (WHOLE, 1, 0.8)], {'right': 1, 'duplicate': 1}),
        ([(WHOLE, 1, 0)], [(HALF, 1, 0.9)], {'localisation': 1}),
        ([(WHOLE, 1, 0)], [(WHOLE, 2, 0.9)], {'confusion': 1}),
        ([(WHOLE, 1, 0)], [(HALF, 2, 0.9)], {'both': 1, 'missed': 1}),
        ([(WHOLE, 1, 0)], [(FAR, 1, 0.9)], {'background': 1, 'missed': 1}),
        ([(WHOLE, 1, 0)], [(WHOLE, 1, 0.2)], {'missed': 1}),
        ([(WHOLE, 1, 1)], [(HALF, 1, 0.9)], {}),
        ([(WHOLE, 1, 1)], [(HALF, 2, 0.9)], {'background': 1}),  # a crowd of another class
        ([(WHOLE, 1, 0), (WHOLE, 2, 0)], [(WHOLE, 2, 0.9), (WHOLE, 1, 0.8)], {'right': 2}),
        ([], [(WHOLE, 1, 0.9)], {'background': 1}),
        ([], [], {}),
    ],
)
def test_each_answer_of_a_detector_is_of_one_kind(objects, found, kinds):
    assert errors.split_errors(detection_results(objects, found)) == dict.fromkeys(errors.KINDS, 0) | kinds


def test_a_surer_answer_takes_the_object_whatever_the_order():
    results = detection_results([(WHOLE, 1, 0)], [(HALF, 1, 0.6), (WHOLE, 1, 0.9)])
    assert errors.split_errors(results)['right'] == 1


def test_which_half_of_a_localisation_is_wrong():
    results = {'rank': np.array([0, 0, 1, 2, 0]), 'iou': np.array([0.5, 0.4, 0.9, 0.1, 0.7])}
    assert list(localization_page.split_errors(results).values()) == [2, 1, 1, 1]


def test_joints_are_counted_within_a_share_of_the_torso():
    keypoints = np.zeros((2, JOINTS, 2))
    keypoints[:, 1] = (10, 0)  # the torso is 10 pixels
    visible = np.array([[True, True, True], [True, True, False]])
    found = keypoints + np.array([[[0, 0], [0, 1], [0, 4]], [[0, 3], [0, 0], [0, 0]]])
    shares = pose_page.shares_found({'keypoints': keypoints, 'visible': visible}, (0, 1), found)
    np.testing.assert_array_equal(shares.at_headline, [0.5, 1, 0])  # at a fifth
    np.testing.assert_array_equal(shares.each[40], [1, 1, 1])
    assert shares.all[20] == 3 / 5  # of the joints that count, as the headline
    none = pose_page.shares_found({'keypoints': keypoints, 'visible': visible & False}, (0, 1), found)
    assert np.isnan(none.each).all()
    assert np.isnan(none.all).all()


def test_the_worst_and_the_middle():
    losses = np.array([3.0, 0.0, np.nan, 1.0, 2.0, 5.0, 4.0])
    found = cases.places_of({'loss': losses}, 3)
    assert found['worst'].tolist() == [2, 5, 6]
    assert found['median'].tolist() == [6, 0, 4]
    assert cases.places_of({'loss': losses[:2]}, 3)['median'].tolist() == [0, 1]


def test_a_mask_tints_its_pixels_and_no_others():
    image = np.full((6, 6, 1), 100, np.uint8)
    classes = np.zeros((6, 6), int)
    classes[2:4, 2:4], classes[0, 0] = 1, 255
    overlay, colours = Overlay(image), class_colours(3)
    overlay.mask(classes, colours, ignored=255)
    scale = LEAST_SIDE // 6
    changed = (overlay.pixels != 100).any(-1)
    expected = np.zeros((6, 6), bool)
    expected[2:4, 2:4] = True
    np.testing.assert_array_equal(changed, expected.repeat(scale, 0).repeat(scale, 1))
    assert overlay.pixels[2 * scale, 2 * scale].tolist() == colours[1].tolist()  # the outline


def test_four_pictures_stand_side_by_side():
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    truth = small.repeat(3, 0).repeat(3, 1)
    shown = super_resolution_page.four(Case(small, {}, {'high_resolution': truth}, {'enlarged': 1 - truth / 255}))
    times = -(-super_resolution_page.LEAST_SIDE // 6)
    pictures = [shown[:, at * (6 * times + GAP) :][::times, : 6 * times : times] for at in range(4)]
    np.testing.assert_array_equal(pictures[0], truth)
    assert np.ptp(pictures[1]) <= np.ptp(truth) + 1
    np.testing.assert_array_equal(pictures[2], 255 - truth)
    np.testing.assert_array_equal(pictures[3], truth)
    assert shown.shape == (6 * times, 4 * 6 * times + 3 * GAP, 3)


def results_of(task: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Results of some images, drawn."""
    common = {'index': np.arange(IMAGES), 'loss': rng.uniform(0, 2, IMAGES)}
    boxes = np.array([2.0, 3.0, 12.0, 20.0], np.float32) + rng.uniform(0, 3, (IMAGES, 2, 4)).astype(np.float32)
    labels = rng.integers(0, 3, (IMAGES, 2))
    if task == 'detection':
        return {
            **common, 'boxes': boxes, 'box_label': labels, 'crowd': np.zeros((IMAGES, 2), bool), 'found_box': boxes,
            'found_class': labels, 'found_score': rng.uniform(0, 1, (IMAGES, 2)).astype(np.float32),
        }  # fmt: skip
    if task == 'localization':
        return {
            **common, 'label': labels[:, 0], 'prediction': labels[:, 1], 'rank': np.abs(labels[:, 0] - labels[:, 1]),
            'probability': rng.uniform(0, 1, IMAGES), 'box': boxes[:, 0], 'predicted_box': boxes[:, 1],
            'iou': rng.uniform(0, 1, IMAGES),
        }  # fmt: skip
    if task == 'segmentation':
        return {**common, 'there': rng.integers(1, 9, (IMAGES, 3)), 'confusion': rng.integers(0, 9, (IMAGES, 3, 3))}
    if task == 'style':
        return {**common, 'content_loss': common['loss'] / 3, 'style_loss': common['loss'] / 2}
    if task == 'super_resolution':
        measures = ('psnr', 'bicubic_psnr', 'ssim', 'bicubic_ssim')
        return {**common, **{name: rng.uniform(0, 40, IMAGES) for name in measures}, 'label': labels[:, 0]}
    if task != 'pose':
        pytest.fail(
            f'cnn_jax/tasks/{task}: its answers are drawn (`draws`); add to `results_of` in tests/test_tasks_pages.py '
            'what its `results` keep of some images'
        )
    points = rng.uniform(0, SIZE, (IMAGES, JOINTS, 2)).astype(np.float32)
    return {**common, 'keypoints': points, 'visible': np.ones((IMAGES, JOINTS), bool), 'found': points + 1}


TELLING = ('captioning', 'question_answering')  # whose pages are texts: they have tests of their own
DRAWN = [name for name in TASKS if made_with_other_numbers(name).draws and name not in TELLING]


def test_tasks_that_draw_are_found():
    assert {'detection', 'localization', 'segmentation', 'pose', 'super_resolution'} <= {*DRAWN}


@pytest.mark.parametrize('name', DRAWN)
def test_the_page_has_figures_and_cases_with_their_files(tmp_path, name):
    rng = np.random.default_rng(0)
    results, task = results_of(name, rng), made_with_other_numbers(name)
    images = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 1), np.uint8)
    masks = rng.integers(0, 3, (IMAGES, SIZE, SIZE))
    large = images.repeat(2, 1).repeat(2, 2)
    each = [
        Case(
            images[at], {key: one[at] for key, one in results.items()},
            {'segmentation': masks[at], 'high_resolution': large[at]},
            {'segmentation': masks[at], 'enlarged': 1 - large[at] / 255, 'picture': 255 - images[at]},
        )
        for at in range(IMAGES)
    ]  # fmt: skip
    config = {'class_names': NAMES, 'experiment': 'drawn'}
    run = Run(
        tmp_path, task, config, (), None, {}, (SIZE, SIZE, 1), (SIZE, SIZE, 1), results=results,
        cases={kind: [each[at] for at in places] for kind, places in cases.places_of(results, 4).items()},
    )  # fmt: skip
    html = ''.join(task.sections(run))
    assert html.count('<li><img ') == 8
    assert html.count('<svg ') >= 1
    assert {'worst.png', 'worst.npz', 'median.png', 'median.npz'} <= {
        path.name for path in (tmp_path / 'figures').iterdir()
    }
    drawn = task.drawn(each[0], NAMES)
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] > 2 * drawn.shape[0]  # what is right, and beside it the answer
    assert importlib.import_module(f'cnn_jax.tasks.{name}.page')


def test_sentences_stand_beside_those_of_people_with_the_others_that_were_kept(tmp_path):
    """Of two words and of five: the shorter one's picture stands on white."""
    task, length = captioning.task(), 6
    sentences = np.array([[[1, 2, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0]], [[1, 2, 1, 2, 1, 0], [1, 0, 0, 0, 0, 0]]])
    results = {
        'index': np.array([7, 9]), 'loss': np.array([0.5, 1.5]), 'exact': np.array([True, False]),
        'sentences': sentences, 'captions': np.stack([sentences[0, :1]] * 2),
        'log_probability': np.array([[-0.25, -1.5], [-0.5, -2.0]]),
        'attention': np.random.default_rng(0).dirichlet(np.ones(9), (2, length)).reshape(2, length, 3, 3),
    }  # fmt: skip
    images = np.full((2, SIZE, SIZE, 1), 200, np.uint8)
    each = [Case(images[at], {key: one[at] for key, one in results.items()}, {}, None) for at in (1, 0)]
    config = {'class_names': NAMES, 'experiment': 'told'}
    sides = (SIZE, SIZE, 1)
    run = Run(tmp_path, task, config, (), None, {}, sides, sides, results=results, cases={'worst': each})
    html = ''.join(task.sections(run))
    assert html.count('<ol class="cases told">') == 1
    assert 'for each word of the net where it looked' in html
    assert html.index('one two one two one') < html.index('\u2717 wrong, log-probability -0.50')
    assert html.count('\u2713 right, log-probability -0.25') == html.count('log-probability -1.50') == 1
    with np.load(tmp_path / 'figures' / 'worst.npz') as arrays:
        long, short = arrays['pictures']
    assert long.shape == (2 * LEAST_SIDE + 6, 4 * LEAST_SIDE + 3 * 6, 3)
    assert (short[LEAST_SIDE:] == 255).all()
    assert (short[:LEAST_SIDE, :LEAST_SIDE] == 200).all()
