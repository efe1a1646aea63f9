"""Localisation: the loss, the metrics and the blind baseline by hand-made cases; a run from training to prediction."""

import dataclasses
import json
import re
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

import cnn_jax
from cnn_jax import experiment
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main
from cnn_jax.ops.boxes import box_iou
from cnn_jax.tasks import localization

TASK = localization.task(box_weight=10.0)  # not the default: files and runs keep it
DATA = experiment.load('scenes_localize', {'smoke': 'true'}).experiment.data
BOXES = np.array([[10, 10, 30, 30], [0, 0, 48, 48], [20, 5, 40, 45]], np.float32)
LABELS = np.array([3, 7, 3], np.int32)


def batch_of(boxes=BOXES, labels=LABELS) -> dict[str, Any]:
    return {
        'image': np.zeros((len(boxes), 48, 48, 1), np.float32),
        'label': np.asarray(labels),
        'boxes': np.asarray(boxes)[:, None],
    }


def outputs_of(boxes, classes, confident=6.0) -> dict[str, Any]:
    return {
        'scores': np.float32(confident) * np.eye(10, dtype=np.float32)[classes],
        'box': np.asarray(boxes, np.float32),
    }


loss_of, results_of = jax.jit(TASK.loss), jax.jit(TASK.results)


def summary_of(outputs, batch) -> dict[str, float]:
    results = jax.device_get(results_of(outputs, batch))
    return TASK.summarise({**results, 'index': np.arange(3), 'loss': np.asarray(loss_of(outputs, batch))}, DATA)


def test_intersection_over_union_counts_pixels():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 20, (50, 2, 2, 2))
    boxes = np.concatenate([corners.min(2), corners.max(2)], -1).astype(np.float32)  # (50, 2, 4), some without an area
    grid = np.stack(np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5), -1)[None, None]  # (1, 1, 20, 20, 2)
    low, high = boxes[:, :, None, None, :2], boxes[:, :, None, None, 2:]
    inside: Any = np.all((grid > low) & (grid < high), -1)
    shared, joined = (inside[:, 0] & inside[:, 1]).sum((1, 2)), (inside[:, 0] | inside[:, 1]).sum((1, 2))
    expected = shared / np.maximum(joined, 1)
    np.testing.assert_allclose(box_iou(boxes[:, 0], boxes[:, 1]), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(box_iou)(boxes[:, 0], boxes[:, 1]), expected, rtol=1e-6)


def test_the_right_answer_scores_everything():
    found = summary_of(outputs_of(BOXES, LABELS), batch_of())
    assert all(found[name] == 1 for name in ('localized', 'localized5', 'top1', 'iou50', 'iou'))


def test_class_and_box_must_both_be_right():
    moved = BOXES + np.array([[8, 0, 8, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32)  # an IoU of 12 / 28
    found = summary_of(outputs_of(moved, [3, 1, 3]), batch_of())
    assert found['iou50'] == pytest.approx(2 / 3)
    assert found['iou'] == pytest.approx((12 / 28 + 2) / 3)
    assert found['top1'] == pytest.approx(2 / 3)
    assert found['localized'] == pytest.approx(1 / 3)
    assert found['localized5'] == pytest.approx(1 / 3)  # the classes that are left are all equal: 7 ranks behind five


def test_the_loss_is_what_it_says():
    boxes, scores = BOXES + 3, np.random.default_rng(0).standard_normal((3, 10)).astype(np.float32)
    losses = loss_of({'scores': scores, 'box': boxes}, batch_of())
    entropy = np.log(np.exp(scores).sum(-1)) - scores[np.arange(3), LABELS]
    edge = 0.5 * (3 / 48) ** 2  # below delta = 0.1
    np.testing.assert_allclose(losses, entropy + 10 / 0.1 * 4 * edge, rtol=1e-5)
    far = loss_of({'scores': scores, 'box': BOXES + 12}, batch_of())
    np.testing.assert_allclose(far, entropy + 10 / 0.1 * 4 * 0.1 * (12 / 48 - 0.05), rtol=1e-5)


def test_what_is_no_number_is_never_right():
    outputs = outputs_of(np.full_like(BOXES, np.nan), LABELS)
    assert summary_of(outputs, batch_of())['localized'] == 0
    outputs = outputs_of(BOXES, LABELS, confident=np.nan)
    assert summary_of(outputs, batch_of())['localized'] == 0


def test_the_blind_answer_is_the_commonest_class_and_the_mean_box():
    near = np.array([[10, 10, 30, 30], [12, 10, 32, 30], [0, 0, 5, 5]], np.float32)
    assert localization.blind(np.array([3, 3, 7]), near) == 0  # the third box moves the mean away
    assert localization.blind(np.array([3, 3]), near[:2]) == 1
    assert localization.blind(np.array([3, 7]), near[:2]) == 0.5


SHORT = ('--config.smoke', '--nopictures')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, signal_handlers, data_dir):
    folder = tmp_path_factory.mktemp('localization')
    given = ['--config.box_weight=10', f'--workdir={folder}/run', f'--data_dir={data_dir}', *SHORT]
    assert main(['--experiment=scenes_localize', *given]) == 0
    return folder / 'run'


def test_a_run_has_its_metrics_at_any_batch_size(trained, capsys):
    lines = [json.loads(line) for line in (trained / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()]
    last = next(line for line in reversed(lines) if line['split'] == 'test')
    assert all(0 <= last[metric.name] <= 1 for metric in TASK.metrics if metric.unit == 'points')
    texts = set()
    for size in (8, 32):
        assert main(['--mode=evaluate', f'--workdir={trained}', f'--eval_batch_size={size}']) == 0
        texts.add(re.sub('the test split was opened .*', '', capsys.readouterr().out))
    assert len(texts) == 1
    assert 'the same answer for every image' in texts.pop()
    page = (trained / 'report' / 'index.html').read_text(encoding='utf-8')
    assert 'Test localisation accuracy' in page


def test_it_predicts_from_the_run_and_from_a_file(trained, tmp_path, data_dir):
    row = DATA.open('test', data_dir)[0]
    Image.fromarray(row['image'][..., 0]).save(tmp_path / 'a.png')
    net = cnn_jax.load(trained)
    answer = net.predict(tmp_path / 'a.png')
    assert answer['prediction'] in DATA.class_names
    assert len(answer['box']) == 4
    net.save(tmp_path / 'a.safetensors')
    again = cnn_jax.load(tmp_path / 'a.safetensors')
    assert again.task == TASK
    assert again.predict(tmp_path / 'a.png')['box'] == pytest.approx(answer['box'], abs=0.02)
    given = [f'--images={tmp_path / "a.png"}', f'--output={tmp_path / "a.csv"}']
    assert main(['--mode=predict', f'--workdir={trained}', *given]) == 0
    assert (
        (tmp_path / 'a.csv').read_text(encoding='utf-8').startswith('file,prediction,probability,left,top,right,bottom')
    )


def test_a_trunk_comes_from_the_run(trained, tmp_path, capsys, data_dir):
    given = [f'--init_from={trained}', f'--workdir={tmp_path}/run', f'--data_dir={data_dir}', *SHORT]
    assert main(['--experiment=scenes_detect', *given]) == 0
    said = capsys.readouterr().out
    assert f'the trunk is that of {trained}; its box, fc, scores left out; ' in said


def test_no_other_box_fits_the_task():
    """A set whose rows have more boxes, or none, is refused."""
    other = experiment.load('scenes_detect', {'smoke': 'true'}).experiment.data
    with pytest.raises(CnnJaxError, match="has no 'label' in its rows"):
        TASK.check(other)
    fields = {**DATA.row_fields, 'boxes': other.row_fields['boxes']}
    with pytest.raises(CnnJaxError, match=r"'boxes' of .* is float32"):
        TASK.check(dataclasses.replace(DATA, fields=fields))
