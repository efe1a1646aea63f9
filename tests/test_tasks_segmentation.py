"""Segmentation: mean IoU as scikit-learn has it, what does not count, and nets that give each pixel its scores."""

import dataclasses
import functools
import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score

from cnn_jax import experiment, weights
from cnn_jax.data import augment, scenes
from cnn_jax.data.formats import fields, mask_file
from cnn_jax.data.formats.annotations import IGNORE
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.evaluation.evaluate import evaluate
from cnn_jax.models.fcn import FCN, bilinear
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.unet import UNet
from cnn_jax.prediction.net import Net
from cnn_jax.prediction.run import predict
from cnn_jax.steps.evaluate import make_eval_step
from cnn_jax.steps.recipe import Parts
from cnn_jax.tasks import segmentation
from cnn_jax.workdir.log import Log

NUM_CLASSES = 11
TASK = segmentation.task()
DATA = scenes.load(batch_size=4, answer='segmentation', num_train=8, num_test=8)
SHAPE = (12, 5, 7)  # images, height, width

tried = jax.jit(lambda scores, truth: (TASK.results(scores, truth), TASK.loss(scores, truth)))


def some_scores(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((*SHAPE, NUM_CLASSES)).astype(np.float32)


def results_of(scores: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    found, losses = jax.device_get(tried(scores, {'segmentation': truth}))
    return {**found, 'loss': losses, 'index': np.arange(len(truth))}


@pytest.mark.parametrize('seed', range(4))
def test_metrics_are_scikit_learns_over_all_pixels(seed):
    """Absent classes, classes that only the answer has, pixels that do not count and pixels without an answer."""
    rng = np.random.default_rng(seed)
    scores = some_scores(rng)
    truth = rng.choice([0, 1, 2, 5, 6], SHAPE).astype(np.uint8)  # not there: 3, 4, and 7 to 10
    scores[..., 9:] -= 100  # nor answered: these two
    scores += 2 * np.eye(NUM_CLASSES, dtype=np.float32)[truth]
    truth[rng.random(SHAPE) < 0.2] = IGNORE
    scores[(rng.random(SHAPE) < 0.1) & (truth == 5)] = np.nan
    scores[0, 0, 0, 3], scores[1, 0, 0, 4] = np.inf, -np.inf
    found = TASK.summarise(results_of(scores, truth), DATA)

    counted = truth != IGNORE
    known = np.isfinite(scores).all(-1)
    right = truth[counted].astype(int)
    answer = np.where(known, np.argmax(np.nan_to_num(scores), -1), NUM_CLASSES)[counted]  # a class that is never right
    classes = np.union1d(right, answer[answer < NUM_CLASSES])
    assert found['miou'] == pytest.approx(jaccard_score(right, answer, labels=classes, average='macro'), rel=1e-12)
    assert found['pixel_accuracy'] == pytest.approx(np.mean(right == answer), rel=1e-12)
    figure = np.where(answer < NUM_CLASSES, answer > 0, 2)
    expected = jaccard_score(right > 0, figure, labels=[0, 1], average='macro')
    assert found['figure_ground'] == pytest.approx(expected, rel=1e-12)
    always = np.full_like(right, np.bincount(right).argmax())
    assert found['blind'] == pytest.approx(jaccard_score(right, always, average='macro'), rel=1e-12)
    assert list(found) == [*(metric.name for metric in TASK.metrics), 'images']


def test_a_perfect_answer_has_all_and_a_broken_one_nothing():
    truth = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    perfect = TASK.summarise(results_of(10 * np.eye(NUM_CLASSES, dtype=np.float32)[truth], truth), DATA)
    assert (perfect['miou'], perfect['figure_ground'], perfect['pixel_accuracy']) == (1, 1, 1)
    lost = np.full((*SHAPE, NUM_CLASSES), np.nan, np.float32)
    broken = TASK.summarise(results_of(lost, truth), DATA)
    assert (broken['miou'], broken['figure_ground'], broken['pixel_accuracy']) == (0, 0, 0)
    assert TASK.train_metrics(jnp.asarray(lost), {'segmentation': 0 * truth})['pixel_accuracy'] == 0
    nothing = TASK.summarise(results_of(lost, np.full(SHAPE, IGNORE, np.uint8)), DATA)
    assert all(np.isnan(nothing[name]) for name in ('miou', 'figure_ground', 'pixel_accuracy', 'blind'))


def test_the_loss_is_the_mean_over_the_pixels_that_count():
    rng = np.random.default_rng(0)
    scores, truth = some_scores(rng), rng.integers(0, NUM_CLASSES, SHAPE).astype(np.uint8)
    truth[rng.random(SHAPE) < 0.3] = IGNORE
    truth[2] = IGNORE
    logs = scores - np.log(np.exp(scores.astype(np.float64)).sum(-1, keepdims=True))
    expected = []
    for image, right in zip(logs, truth, strict=True):
        pixels = [-image[row, column, right[row, column]] for row, column in np.argwhere(right != IGNORE)]
        expected.append(np.mean(pixels) if pixels else 0)
    np.testing.assert_allclose(results_of(scores, truth)['loss'], expected, rtol=1e-5)
    gradient = jax.grad(lambda scores: TASK.loss(scores, {'segmentation': truth}).sum())(scores)
    assert not gradient[truth == IGNORE].any()
    assert (jnp.abs(gradient[truth != IGNORE]).sum(-1) > 0).all()


class PixelScores(nn.Module):
    """Each pixel scores classes by its own value."""

    @nn.compact
    def __call__(self, images, *, train):
        waves = images[..., :1] * jnp.arange(1, NUM_CLASSES + 1, dtype=jnp.float32).reshape(1, 1, 1, -1) / 40
        return jnp.cos(waves)


@pytest.mark.parametrize(('devices', 'size'), [(1, 3), (8, 16)])
def test_results_depend_on_neither_batch_size_nor_devices(devices, size, tmp_path):
    rows, mesh = DATA.open('test', tmp_path), mapping.make_mesh(devices)
    step = mapping.map_eval(make_eval_step(Parts(PixelScores(), TASK, lambda keys, batch: batch)), mesh)

    def batches():
        for start in range(0, 8, size):
            index = np.arange(start, start + size)
            chosen = [rows[min(row, 7)] for row in index]
            batch = {name: np.stack([row[name] for row in chosen]) for name in ('image', 'segmentation')}
            numbers = {'index': np.where(index < 8, index, -1).astype(np.int32), 'epoch': np.zeros(size, np.int32)}
            image = batch['image'].astype(np.float32)
            yield mapping.put_batch(mesh, {**batch, **numbers, 'image': image, 'mask': index < 8})

    found = evaluate(step, {}, batches(), task=TASK, data=DATA, poll=lambda: None)
    images, truths = (np.stack([rows[row][name] for row in range(8)]) for name in ('image', 'segmentation'))
    scores = PixelScores().apply({}, jnp.asarray(images, jnp.float32), train=False)
    whole = TASK.results(scores, {'segmentation': truths})
    for name, values in whole.items():
        np.testing.assert_array_equal(found.results[name], values)
    assert found.results['there'].sum() == 8 * 48 * 48
    details = TASK.details(found, DATA)
    assert set(details['iou_by_class']) == set(DATA.class_names)


def test_a_class_out_of_range_is_an_error_and_an_ignored_pixel_is_none():
    rows = [{'segmentation': np.full((48, 48), number, np.uint8)} for number in (10, IGNORE, 11)]
    declared = {'segmentation': DATA.row_fields['segmentation']}
    assert fields.stack(declared, rows[:2], [0, 1])['segmentation'].shape == (2, 48, 48)
    with pytest.raises(DataError, match=r'row 2: .*at least 0 and at most 10 or 255'):
        fields.stack(declared, rows, range(3))


def test_data_and_models_of_other_sizes_are_named():
    TASK.check(DATA)
    with pytest.raises(CnnJaxError, match=r"task segmentation: .* has no 'segmentation'"):
        TASK.check(scenes.load(batch_size=4))
    with pytest.raises(CnnJaxError, match='has 256 classes; needed are'):
        TASK.check(dataclasses.replace(DATA, class_names=tuple(map(str, range(256)))))
    truth = {'segmentation': jnp.zeros((1, 4, 4), jnp.uint8)}
    with pytest.raises(CnnJaxError, match='at the size of its images'):
        TASK.loss(jnp.zeros((1, 2, 2, 11)), truth)
    fewer = {name: np.asarray(values) for name, values in TASK.results(jnp.zeros((1, 4, 4, 5)), truth).items()}
    with pytest.raises(CnnJaxError, match=r'scores 5 classes, .* has 11'):
        TASK.summarise({**fewer, 'loss': np.zeros(1)}, DATA)


def test_an_answer_is_a_mask_and_the_share_of_each_class():
    scores = 4 * jax.nn.one_hot(jnp.array([[[0, 0], [3, 10]]]), NUM_CLASSES)
    read = jax.device_get(TASK.read(scores))
    one = {name: values[0] for name, values in read.items()}
    names = DATA.class_names
    answer = TASK.decode(one, names)
    assert answer == {'classes': {'background': 0.5, '2': 0.25, '9': 0.25}, 'segmentation': [[0, 0], [3, 10]]}
    assert TASK.answer(one, names) == '2, 9'
    assert TASK.truth({'segmentation': one['segmentation']}, names) == '2, 9'
    columns = TASK.columns(answer, names)
    assert (columns['classes'], columns['share of 2'], columns['share of 0']) == ('2, 9', 0.25, 0)
    assert list(TASK.columns({}, names)) == list(TASK.columns(answer, names))
    broken = TASK.read(scores.at[0, 1, 1, 4].set(jnp.nan))
    assert np.isnan(broken['probability'][0, 1, 1])
    assert np.isfinite(broken['probability'][0, 0]).all()


def test_mask_files_have_the_mean_iou_of_the_evaluation():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, NUM_CLASSES, SHAPE).astype(np.uint8)
    scores = some_scores(rng) + np.eye(NUM_CLASSES, dtype=np.float32)[truth]
    read = jax.device_get(TASK.read(scores))
    found = []
    for row in range(len(truth)):
        answer = TASK.decode({name: values[row] for name, values in read.items()}, DATA.class_names)
        with Image.open(io.BytesIO(mask_file.encode(np.array(answer['segmentation'])))) as picture:
            found.append(np.asarray(picture))
    expected = jaccard_score(truth.ravel(), np.ravel(found), average='macro')
    assert TASK.summarise(results_of(scores, truth), DATA)['miou'] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('make', [functools.partial(FCN, hidden=4), UNet])
@pytest.mark.parametrize('size', [(48, 48), (33, 50), (31, 17)])
def test_nets_score_every_pixel_of_images_of_any_size(make, size):
    trunk = ResNet(depth=8, layout='cifar', width=0.25, maps=True)
    model = make(trunk, num_classes=NUM_CLASSES)
    images = jax.ShapeDtypeStruct((2, *size, 1), jnp.float32)
    shapes = jax.eval_shape(lambda images: model.init_with_output(jax.random.key(0), images, train=False), images)
    assert shapes[0].shape == (2, *size, NUM_CLASSES)
    assert shapes[0].dtype == jnp.float32


@pytest.mark.parametrize('decoder', ['fcn', 'unet'])
def test_a_file_of_weights_knows_the_trunk(decoder, tmp_path):
    made = experiment.load('scenes_segment', {'smoke': True, 'decoder': decoder}).experiment
    shapes = jax.eval_shape(lambda: made.init_state(0)).variables
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, leaf.dtype), shapes)
    weights.save(tmp_path / 'net.safetensors', made.model, variables, image_shape=(48, 48, 1))
    model, found = weights.load(tmp_path / 'net.safetensors')
    assert model == made.model
    jax.tree.map(np.testing.assert_array_equal, found, variables)


def test_bilinear_is_of_each_image_and_keeps_what_is_flat():
    maps = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 4, 2)), jnp.float32)
    expected = jax.image.resize(maps, (2, 6, 7, 2), 'bilinear')
    np.testing.assert_allclose(bilinear(maps, (6, 7)), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(bilinear(jnp.ones((1, 2, 2, 1)), (5, 3)), 1, rtol=1e-6)


class Corners(nn.Module):
    """A net that finds class 1 in the upper left quarter, and nothing elsewhere."""

    @nn.compact
    def __call__(self, images, *, train):
        _, height, width, _ = images.shape
        first = jnp.zeros((len(images), height, width)).at[:, : height // 2, : width // 2].set(9)
        return jnp.stack([jnp.full_like(first, 4), first, *[jnp.zeros_like(first)] * 9], -1)


def test_predictions_leave_as_a_mask_for_each_picture(tmp_path):
    data = scenes.load(batch_size=2, answer='segmentation', num_train=8, num_test=2)
    net = Net(
        model=Corners(), variables={}, task=segmentation.task(), class_names=data.class_names,
        preprocess=augment.on_images(augment.to_unit_range), image_shape=data.image_shape, read_file=data.read_file,
        source='a test',
    )  # fmt: skip
    (tmp_path / 'in' / 'more').mkdir(parents=True)
    for name in ('a.png', 'b.png'):
        Image.new('L', (60, 60)).save(tmp_path / 'in' / name)
    (tmp_path / 'in' / 'c.png').write_bytes(b'no image')
    said = Log(None, quiet=True)
    given = {'batch_size': 2, 'stop': StopRequest(), 'log': said}
    predict(net, str(tmp_path / 'in'), tmp_path / 'out', **given)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['a.png', 'b.png']
    expected = np.zeros((48, 48), np.uint8)
    expected[:24, :24] = 1
    with Image.open(tmp_path / 'out' / 'a.png') as mask:
        assert mask.mode == 'P'
        np.testing.assert_array_equal(np.asarray(mask), expected)
    Image.new('L', (60, 60)).save(tmp_path / 'in' / 'more' / 'a.png')
    with pytest.raises(CnnJaxError, match=r'a\.png would be one image'):
        predict(net, str(tmp_path / 'in'), tmp_path / 'out', **given)
    with pytest.raises(CnnJaxError, match='give a folder for images, or a file that ends in one of'):
        predict(net, str(tmp_path / 'in'), tmp_path / 'out.png', **given)
