"""Detection from outputs to numbers and files: known precisions, pycocotools on what is written, any batch size."""

import contextlib
import dataclasses
import io
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cnn_jax.data import augment, scenes
from cnn_jax.data.formats.fields import Field
from cnn_jax.data.pipeline import Data
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import StopRequest
from cnn_jax.evaluation import written
from cnn_jax.evaluation.evaluate import evaluate
from cnn_jax.prediction.net import NOT_FINITE, Net
from cnn_jax.prediction.run import predict
from cnn_jax.steps.evaluate import make_eval_step
from cnn_jax.steps.recipe import Parts
from cnn_jax.tasks import detection
from cnn_jax.tasks.detection import precision
from cnn_jax.tasks.results import Evaluation
from cnn_jax.tracing import scores
from cnn_jax.workdir.log import Log

SIDE, CLASSES, MOST, IMAGES = 12, 3, 4, 21
NAMES = ('cat', 'dog', 'cow')


class Told(nn.Module):
    """Images whose channels are the outputs: scores, then boxes."""

    @nn.compact
    def __call__(self, images, *, train):
        return {'scores': images[..., :CLASSES], 'boxes': images[..., CLASSES:]}


def data_of(**fields):
    fields = {'boxes': Field('float32', (MOST, 4)), 'box_label': Field('int32', (MOST,), 0, CLASSES - 1), **fields}
    return Data(
        name='drawn', batch_size=8, splits={'train': IMAGES, 'test': IMAGES}, class_names=NAMES, fields=fields,
        image_shape=(SIDE, SIDE, CLASSES + 4), open=lambda split, folder: [], prepare=lambda folder, say: None,
    )  # fmt: skip


def drawn():
    """Images with their truth: up to four objects, the second image has none, one is a crowd; no cow without one."""
    rng = np.random.default_rng(0)
    boxes = np.zeros((IMAGES, MOST, 4), np.float32)
    for row in range(IMAGES):
        for place in range(0 if row == 1 else rng.integers(1, MOST + 1)):
            left, top = 3 * place, rng.integers(0, 5)
            boxes[row, place] = [left, top, left + 2, top + rng.integers(2, 7)]
    labels = rng.integers(0, 2, (IMAGES, MOST)).astype(np.int32)
    crowd = np.zeros((IMAGES, MOST), bool)
    crowd[3, 0], labels[3, 0] = True, 2
    return {'boxes': boxes, 'box_label': labels, 'crowd': crowd}


def told(truth, shift=(0, 0), noise=0.0):
    """The outputs that say the truth, moved by `shift` pixels, with other boxes besides where there is `noise`."""
    rng = np.random.default_rng(1)
    images = np.full((IMAGES, SIDE, SIDE, CLASSES + 4), -20, np.float32)
    images[..., :CLASSES] += noise * rng.normal(size=images[..., :CLASSES].shape)
    for row, place in np.argwhere((truth['boxes'][..., 2] > 0) & ~truth['crowd']):
        box = truth['boxes'][row, place]
        x, y = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
        images[row, y, x, truth['box_label'][row, place]] = rng.normal()
        images[row, y, x, CLASSES:] = box + np.array(shift * 2) + noise * rng.normal(size=4) / 20
    return images


def summary_of(images, truth, data=None):
    task, data = detection.task(most=20), data or data_of(crowd=Field('bool', (MOST,)))
    batch = {'image': images, **truth}
    results = jax.tree.map(np.asarray, task.results(Told().apply({}, jnp.asarray(images), train=False), batch))
    results = {**results, 'index': np.arange(IMAGES), 'loss': np.zeros(IMAGES, np.float32)}
    return Evaluation(results, task.summarise(results, data))


def test_the_truth_has_a_precision_of_1_and_a_shift_that_of_its_overlap():
    truth = drawn()
    found = summary_of(told(truth), truth).summary
    assert (found['ap'], found['ap50'], found['ap75'], found['images']) == (1, 1, 1, IMAGES)
    assert found['blind'] < 0.5
    moved = summary_of(told(truth, shift=(0.5, 0)), truth).summary  # 1.5 of 2.5: 0.5, 0.55 and 0.6 of ten
    assert moved['ap'] == pytest.approx(0.3)
    assert (moved['ap50'], moved['ap75']) == (1, 0)
    nothing = summary_of(np.full_like(told(truth), np.nan), truth).summary
    assert (nothing['ap'], nothing['ap50']) == (0, 0)
    empty = {**truth, 'boxes': 0 * truth['boxes']}
    assert np.isnan(summary_of(told(truth), empty).summary['ap']), 'without an object it is no number'


def test_an_image_that_is_drawn_again_and_again_counts_as_many():
    """More than the hundred detections of a class that count on one image."""
    truth = drawn()
    found = summary_of(told(truth), truth).results
    drawn_often = {name: values[np.repeat([0, 2], 150)] for name, values in found.items()}
    assert precision.measure(drawn_often, NAMES).ap == 1


def test_images_drawn_from_a_split_are_not_matched_anew():
    truth = drawn()
    found = summary_of(told(truth, shift=1.0), truth).results
    matched = precision.Matched(found, NAMES)
    for rows in (np.arange(len(found['index'])), np.array([0, 0, 2, 1, 2])):
        anew = precision.measure({name: values[rows] for name, values in found.items()}, NAMES)
        np.testing.assert_equal(matched.precision(rows)._asdict(), anew._asdict())


def test_pycocotools_gives_the_same_number_of_the_files(tmp_path):
    truth = drawn()
    evaluation = summary_of(told(truth, noise=4.0), truth)
    task, data = detection.task(), data_of(crowd=Field('bool', (MOST,)))
    written.write(tmp_path, evaluation, [], task=task, data=data, split='test', about={})  # pyright: ignore[reportArgumentType]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / 'test_truth.json'))
        theirs = COCOeval(coco, coco.loadRes(str(tmp_path / 'test_results.json')), 'bbox')
        for step in (theirs.evaluate, theirs.accumulate, theirs.summarize):
            step()
    assert 0.1 < evaluation.summary['ap'] < 0.9, 'neither nothing nor all is right'
    ours = [evaluation.summary[name] for name in ('ap', 'ap50', 'ap75')]
    np.testing.assert_allclose(theirs.stats[:3], ours, rtol=1e-12)
    by_class = json.loads((tmp_path / 'test.json').read_text(encoding='utf-8'))['ap_by_class']
    assert by_class['cow'] is None
    assert np.mean([by_class['cat'], by_class['dog']]) == pytest.approx(ours[0])


def test_any_batch_size_and_number_of_devices_gives_the_same():
    truth, data = drawn(), data_of()
    truth['boxes'][truth.pop('crowd')] = 0
    rows = {'image': told({**truth, 'crowd': np.zeros((IMAGES, MOST), bool)}, noise=4.0), **truth}
    task = detection.task(most=20)
    found = []
    for size, devices in ((8, 8), (24, 8), (7, 1)):
        mesh = mapping.make_mesh(devices)
        step = mapping.map_eval(make_eval_step(Parts(Told(), task, lambda keys, batch: batch)), mesh)

        def batches(size=size, mesh=mesh):
            for start in range(0, IMAGES, size):
                index = np.arange(start, start + size, dtype=np.int32)
                mask = index < IMAGES
                index = np.where(mask, index, -1)
                numbers = {'index': index, 'mask': mask, 'epoch': 0 * index}
                yield mapping.put_batch(mesh, {**{name: values[index] for name, values in rows.items()}, **numbers})

        found.append(evaluate(step, {}, batches(), task=task, data=data, poll=lambda: None))
    for other in found[1:]:
        assert not {*task.truths} - {*other.results}, 'comparisons read them'
        assert {**other.summary, 'loss': 0} == {**found[0].summary, 'loss': 0}
        for name, values in found[0].results.items():
            same = np.testing.assert_allclose if name == 'loss' else np.testing.assert_array_equal
            same(other.results[name], values)


def test_what_is_explained_is_the_best_score_of_a_class():
    truth = drawn()
    images = jnp.asarray(told(truth)[:2])
    for unit in (None, 1):
        found, values = scores.gradients(Told(), {}, images, unit)
        considered = images[..., :CLASSES] if unit is None else images[..., unit : unit + 1]
        np.testing.assert_array_equal(values, considered.max((1, 2, 3)))
        assert found[..., CLASSES:].any() == 0, 'boxes are no scores'
        np.testing.assert_array_equal((found != 0).sum((1, 2, 3)), [1, 1])


class Brightest(nn.Module):
    """Finds the one bright rectangle of a dark image; the answer is not finite where all is dark."""

    @nn.compact
    def __call__(self, images, *, train):
        bright = images[..., 0] > 0.5
        across, down = bright.any(1), bright.any(2)
        first = [jnp.argmax(one, 1) for one in (across, down)]
        last = [one.shape[1] - jnp.argmax(one[:, ::-1], 1) for one in (across, down)]
        box = jnp.stack([*first, *last], -1).astype(jnp.float32)[:, None, None]
        sure = jnp.where(bright.any((1, 2)), 3.0, jnp.nan)
        return {'scores': jnp.stack([-sure, sure], -1)[:, None, None], 'boxes': box}


@pytest.fixture(scope='module')
def net():
    data = scenes.load(batch_size=8, num_train=8, num_test=8)
    preprocess = augment.on_images(augment.to_range, low=0.0, high=1.0)
    return Net(
        Brightest(), {}, detection.task(), ('background', 'bright'), preprocess,
        data.image_shape, data.read_file, 'a test', view_of=data.view_of,
    )  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    """A wide one, one that cannot be read, one that is dark."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    pixels = np.zeros((240, 480), np.uint8)
    pixels[60:110, 200:320] = 255
    Image.fromarray(pixels).save(folder / '000139.png')
    (folder / '000140.png').write_bytes(b'no image')
    Image.fromarray(0 * pixels).save(folder / '000141.png')
    return folder


@pytest.mark.parametrize('ending', ['json', 'jsonl', 'csv'])
def test_predictions_are_written_in_pixels_of_the_pictures(net, pictures, ending, capsys):
    output = pictures.parent / f'found.{ending}'
    predict(net, str(pictures), output, batch_size=8, stop=StopRequest(), log=Log(None))
    said = capsys.readouterr().out
    assert '2 of 3 have no answer' in said
    assert NOT_FINITE in said, 'an answer that is no number is not nothing'
    assert 'of the pictures' not in said
    text = output.read_text(encoding='utf-8')
    if ending == 'csv':
        assert 'bright 95 % at 200 60 320 110' in text
        return
    found = json.loads(text if ending == 'json' else text.splitlines()[0])
    if ending == 'jsonl':
        assert found['objects'][0]['box'] == [200, 60, 320, 110]
        assert len(text.splitlines()) == 3
        return
    bright, other = found
    assert (bright['image_id'], bright['category_id'], bright['category']) == (139, 2, 'bright')
    assert bright['bbox'] == [200, 60, 120, 50]
    assert bright['score'] > other['score'] > 0


def test_in_the_hand_the_boxes_are_the_pictures_too(net, pictures):
    path = pictures / '000139.png'
    answers = net.predict([path, Image.open(path), np.asarray(Image.open(path)), net.pixels([path])[0]])
    assert [one['objects'][0]['box'] for one in answers[:3]] == [[200, 60, 320, 110]] * 3
    assert answers[3]['objects'][0]['box'] == [16, 12, 40, 22], 'an array that is what the net is shown'
    assert net.predict(np.asarray(net.inputs([path])), preprocessed=True)[0]['objects'][0]['box'] == [16, 12, 40, 22]
    assert net.predict([]) == []


def test_a_net_that_does_not_know_the_way_back_says_so(net, pictures, capsys):
    lost = dataclasses.replace(net, view_of=lambda encoded: None)
    predict(lost, str(pictures / '000139.png'), None, batch_size=8, stop=StopRequest(), log=Log(None))
    assert 'warning: places are in pixels of the 48 x 48 that the net is shown' in capsys.readouterr().out
