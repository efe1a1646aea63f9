"""Pose: PCK by hand, AP as pycocotools has it, and heat-maps whose loss is least at the truth."""

import contextlib
import io
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax import experiment, weights
from cnn_jax.data import augment_geometry, scenes
from cnn_jax.data.scenery.puppet import JOINTS, SWAP
from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.layers import Conv2DTranspose
from cnn_jax.models.pose import SimpleBaseline
from cnn_jax.models.resnet import ResNet
from cnn_jax.prediction import load
from cnn_jax.prediction.net import Net
from cnn_jax.tasks import pose
from cnn_jax.tasks.pose import heatmaps, similarity
from cnn_jax.tasks.results import Evaluation

SIGMAS = (0.03, 0.08, 0.05, 0.1)
NAMES = ('head', 'left hip', 'right hip', 'tail')
TASK = pose.task(NAMES, torso=(0, 1), sigmas=SIGMAS)
DATA = scenes.load(batch_size=4, answer='pose', num_train=8, num_test=8)
SIZE = (6, 9)  # rows and columns of a map


def results_of(keypoints, visible, found, score, area) -> dict[str, np.ndarray]:
    arrays = {'keypoints': keypoints, 'visible': visible, 'found': found, 'found_score': score, 'area': area}
    return {**arrays, 'loss': np.zeros(len(keypoints)), 'index': np.arange(len(keypoints))}


def test_pck_by_hand():
    """A torso of 10 pixels: two are near enough."""
    keypoints = np.tile(np.array([[5, 5], [5, 15], [20, 20], [30, 30]], np.float32), (6, 1, 1))
    visible, found = np.ones((6, 4), bool), keypoints.copy()
    found[0, :, 0] += 2  # all found, just
    found[1, :, 1] += 2.001  # none
    found[2, 2:] = np.inf  # two of four
    found[3, 0] = np.nan
    visible[3, 0] = False  # the torso is not seen: the image does not count
    visible[4, 3], found[4, 3] = False, -1e6  # a joint that is not seen does not count
    keypoints[5, 1] = keypoints[5, 0]  # no torso
    found[5] = keypoints[5]
    distance = similarity.distances(keypoints, found)
    assert similarity.correct_keypoints(keypoints, visible, distance, (0, 1)) == (4 + 0 + 2 + 3) / (4 + 4 + 4 + 3)
    score = np.ones((6, 4), np.float32)
    summary = TASK.summarise(results_of(keypoints, visible, found, score, np.full(6, 100.0)), DATA)
    assert summary['pck'] == 9 / 15
    assert summary['error'] == np.inf
    assert list(summary) == [*(metric.name for metric in TASK.metrics), 'images']
    hidden = np.zeros_like(visible)
    nothing = TASK.summarise(results_of(keypoints, hidden, found, score, np.zeros(6)), DATA)
    assert all(np.isnan(nothing[name]) for name in ('pck', 'oks_ap', 'error', 'blind'))


def test_the_blind_baseline_is_the_mean_of_what_is_seen():
    keypoints = np.array([[[0, 0], [0, 10], [4, 4], [9, 9]], [[2, 0], [0, 10], [8, 4], [0, 0]]], np.float32)
    visible = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], bool)
    np.testing.assert_array_equal(similarity.mean_pose(keypoints, visible), [[1, 0], [0, 10], [6, 4], [9, 9]])
    summary = TASK.summarise(results_of(keypoints, visible, keypoints, visible * 1.0, np.ones(2)), DATA)
    assert summary['blind'] == 1
    far = keypoints.copy()
    far[0, 2], far[1, 2] = (0, 4), (12, 4)
    summary = TASK.summarise(results_of(far, visible, far, visible * 1.0, np.ones(2)), DATA)
    assert summary['blind'] == 5 / 7, 'two of seven joints are six pixels from their mean'


@pytest.mark.parametrize('seed', range(3))
def test_average_precision_is_that_of_pycocotools(seed, tmp_path):
    """Of the files of an evaluation: joints that are not seen, equal scores, misses, an answer of no numbers."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    count = 30
    keypoints = rng.uniform(0, 48, (count, 4, 2)).astype(np.float32)
    visible = rng.random((count, 4)) < 0.7
    visible[:, 0] |= ~visible.any(1)
    spread = rng.choice([0.5, 2.0, 6.0, 60.0], (count, 1, 1))
    found = (keypoints + spread * rng.standard_normal(keypoints.shape)).astype(np.float32)
    score = np.round(rng.random((count, 4)), 1).astype(np.float32)
    area = rng.uniform(50, 2000, count).astype(np.float32)
    found[3, 2], score[3, 2] = np.nan, 0
    visible[5] = False
    results = results_of(keypoints, visible, found, score, area)
    for name, content in TASK.files(Evaluation(results, {}), DATA).items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content, allow_nan=False), encoding='utf-8')
    with contextlib.redirect_stdout(io.StringIO()):
        given = COCO(str(tmp_path / 'truth.json'))
        evaluator = COCOeval(given, given.loadRes(str(tmp_path / 'results.json')), 'keypoints')
        evaluator.params.kpt_oks_sigmas = np.array(SIGMAS)
        evaluator.evaluate()
        evaluator.accumulate()
    expected = float(evaluator.eval['precision'][:, :, 0, 0, 0].mean())
    assert 0 < expected < 1
    assert TASK.summarise(results, DATA)['oks_ap'] == pytest.approx(expected, abs=1e-12)


def one_map(values: np.ndarray) -> tuple[np.ndarray, float]:
    read = jax.device_get(decoded(values[None, :, :, None].astype(np.float32)))
    return read['place'][0, 0], float(read['score'][0, 0])


decoded = jax.jit(lambda maps: heatmaps.decode_maps(maps, as_shares=True))


@pytest.mark.parametrize(
    ('peak', 'higher', 'shift'),
    [
        ((2, 4), (2, 5), (0.25, 0)),
        ((2, 4), (2, 3), (-0.25, 0)),
        ((2, 4), (3, 4), (0, 0.25)),
        ((2, 4), (1, 4), (0, -0.25)),
        ((2, 4), (2, 4), (0, 0)),  # neighbours as high as each other
        ((0, 4), (0, 5), (0.25, 0)),  # at the upper border: across alone
        ((0, 0), (1, 0), (0, 0)),
        ((5, 8), (5, 7), (0, 0)),
    ],
)
def test_the_highest_place_and_a_quarter_towards_the_higher_neighbour(peak, higher, shift):
    values = np.zeros(SIZE)
    values[higher] = 1
    values[peak] = 2
    place, score = one_map(values)
    expected = np.array([peak[1] + 0.5 + shift[0], peak[0] + 0.5 + shift[1]]) / (SIZE[1], SIZE[0])
    np.testing.assert_allclose(place, expected, rtol=1e-6)
    rows, columns = slice(max(0, peak[0] - 1), peak[0] + 2), slice(max(0, peak[1] - 1), peak[1] + 2)
    assert score == pytest.approx(np.exp(values[rows, columns]).sum() / np.exp(values).sum(), rel=1e-5)


def test_maps_of_ties_and_of_no_numbers():
    place, score = one_map(np.zeros(SIZE))
    np.testing.assert_allclose(place, [0.5 / 9, 0.5 / 6], rtol=1e-6)  # the first
    assert score == pytest.approx(4 / 54, rel=1e-5)
    for broken in (np.nan, np.inf, -np.inf):
        values = np.zeros(SIZE)
        values[3, 3] = broken
        place, score = one_map(values)
        assert np.isnan(place).all()
        assert score == 0
    height = heatmaps.decode_maps(jnp.array([0.2, 0.7, 1.3, -1.0]).reshape(1, 1, 1, 4), as_shares=False)['score']
    np.testing.assert_allclose(height, [[0.2, 0.7, 1, 0]])


BATCH = {
    'image': jnp.zeros((2, 24, 36, 1)),
    'keypoints': jnp.array([[[10, 9], [30.5, 20], [1, 23], [17, 11]], [[0, 0], [36, 24], [5, 6], [40, 12]]]),
    'visible': jnp.array([[True, True, True, True], [True, True, False, True]]),
}


@pytest.mark.parametrize('form', ['softmax', 'mse'])
def test_the_loss_is_least_at_the_truth_and_its_maps_are_decoded_to_it(form):
    task = pose.task(NAMES, torso=(0, 1), loss_form=form)
    places = heatmaps.places_on_map(BATCH['keypoints'], (24, 36), SIZE)
    right = heatmaps.bumps(places, SIZE, 1.0)
    outputs = jnp.log(jnp.maximum(heatmaps.shares(places, SIZE, 1.0), 1e-30)) if form == 'softmax' else right
    value, gradient = jax.value_and_grad(lambda outputs: task.loss(outputs, BATCH).sum())(outputs)
    assert float(jnp.abs(gradient).max()) < 1e-5
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = outputs + 0.3 * jnp.asarray(rng.standard_normal(outputs.shape), jnp.float32)
        assert task.loss(other, BATCH).sum() > value
    found = np.asarray(task.results(outputs, BATCH)['found'])
    inside = np.array([[True] * 4, [True, True, False, False]])
    away = np.abs(found - BATCH['keypoints'])[inside]
    assert away.max() <= 2, 'half a place of four pixels: what a quarter of one leaves at most, at the border'


@pytest.mark.parametrize('form', ['softmax', 'mse'])
def test_what_is_hidden_or_not_on_the_image_costs_nothing(form):
    task = pose.task(NAMES, torso=(0, 1), loss_form=form, sigma=0.2)
    outputs = jnp.asarray(np.random.default_rng(0).standard_normal((2, *SIZE, 4)), jnp.float32)
    gradient = jax.grad(lambda outputs: task.loss(outputs, BATCH).sum())(outputs)
    assert not gradient[1, ..., 2:].any()  # hidden, and beyond the right border
    assert (jnp.abs(gradient).sum((1, 2))[:, :2] > 0).all()
    alone = {**BATCH, 'visible': BATCH['visible'].at[1, 3].set(False)}
    np.testing.assert_array_equal(task.loss(outputs, BATCH), task.loss(outputs, alone))
    nobody = {**BATCH, 'visible': jnp.zeros((2, 4), bool)}
    assert task.loss(outputs, nobody).tolist() == [0, 0]
    with pytest.raises(CnnJaxError, match='gives 3 heat-maps, the data has 4 joints'):
        task.loss(outputs[..., :3], BATCH)


def test_the_loss_of_shares_is_a_cross_entropy():
    outputs = np.random.default_rng(0).standard_normal((2, *SIZE, 4)).astype(np.float32)
    expected = []
    points, visible = np.asarray(BATCH['keypoints']), np.asarray(BATCH['visible'])
    for scores, places, seen in zip(outputs.astype(np.float64), points, visible, strict=True):
        losses = []
        for joint in np.flatnonzero(seen & (places[:, 0] <= 36)):
            x, y = places[joint] / 4 - 0.5
            bump = np.exp(-((np.arange(9)[None] - x) ** 2 + (np.arange(6)[:, None] - y) ** 2) / 2)
            one = scores[..., joint]
            losses.append(np.log(np.exp(one).sum()) - (bump / bump.sum() * one).sum())
        expected.append(np.mean(losses))
    np.testing.assert_allclose(TASK.loss(jnp.asarray(outputs), BATCH), expected, rtol=1e-5)


def test_a_mirror_exchanges_left_and_right_joints():
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.uniform(1, 47, (2, 13, 2)), jnp.float32)
    visible = jnp.asarray(rng.random((2, 13)) < 0.7)
    points = jnp.where(visible[..., None], points, 0)
    batch = {'image': jnp.zeros((2, 48, 48, 1)), 'keypoints': points, 'visible': visible}
    moved = augment_geometry.random_flip(jax.random.split(jax.random.key(0), 2), batch, probability=1.0, swap=SWAP)
    for joint, name in enumerate(JOINTS):
        exchanged = {'left': 'right', 'right': 'left'}
        other = JOINTS.index(' '.join(exchanged.get(word, word) for word in name.split()))
        np.testing.assert_array_equal(moved['visible'][:, joint], visible[:, other])
        mirrored = points[:, other] * jnp.array([[-1, 1]]) + jnp.array([[48, 0]])
        expected = jnp.where(visible[:, other, None], mirrored, 0)
        np.testing.assert_allclose(moved['keypoints'][:, joint], expected, rtol=1e-6)


def test_results_depend_on_neither_batch_size_nor_devices():
    rng = np.random.default_rng(0)
    batch = {
        'image': np.zeros((16, 24, 36, 1), np.float32),
        'keypoints': rng.uniform(0, 24, (16, 4, 2)).astype(np.float32),
        'visible': rng.random((16, 4)) < 0.8,
        'maps': rng.standard_normal((16, *SIZE, 4)).astype(np.float32),
    }

    def step(variables, batch):
        return {**TASK.results(batch['maps'], batch), 'loss': TASK.loss(batch['maps'], batch)}

    def found(devices: int, size: int) -> dict[str, np.ndarray]:
        mesh = mapping.make_mesh(devices)
        mapped = mapping.map_eval(step, mesh)
        pieces = ({name: rows[at : at + size] for name, rows in batch.items()} for at in range(0, 16, size))
        parts = [mapping.fetch(mapped({}, mapping.put_batch(mesh, piece))) for piece in pieces]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    one, eight = found(1, 4), found(8, 16)
    for name, values in one.items():
        np.testing.assert_allclose(eight[name], values, rtol=1e-6, err_msg=name)
    several, once = ({**part, 'index': np.arange(16)} for part in (one, eight))
    first, second = TASK.summarise(several, DATA), TASK.summarise(once, DATA)
    assert {name: first[name] for name in ('pck', 'oks_ap')} == {name: second[name] for name in ('pck', 'oks_ap')}


def test_the_area_is_the_boxs_or_that_around_the_joints():
    maps = jnp.zeros((2, *SIZE, 4))
    boxes = jnp.array([[[1, 2, 5, 12]], [[0, 0, 0, 0]]], jnp.float32)
    assert TASK.results(maps, {**BATCH, 'boxes': boxes})['area'].tolist() == [40, 0]
    assert TASK.results(maps, BATCH)['area'].tolist() == [29.5 * 14, 40 * 24]


def test_an_answer_has_the_place_of_each_joint():
    read = jax.device_get(TASK.read(jnp.zeros((1, *SIZE, 4)).at[0, 2, 4, :].set(9.0)))
    one = {name: values[0] for name, values in read.items()}
    answer = TASK.decode(one, ())
    assert list(answer['keypoints']) == list(NAMES)
    np.testing.assert_allclose(answer['keypoints']['tail']['place'], [4.5 / 9, 2.5 / 6], rtol=1e-6)
    assert list(TASK.columns({}, ())) == list(TASK.columns(answer, ()))
    assert TASK.answer(one, ()).startswith('4 joints, score 99 %')


def test_a_file_of_weights_knows_joints_and_torso(tmp_path):
    loaded = experiment.load('scenes_pose', {'smoke': True, 'loss': 'mse'})
    made = loaded.experiment
    shapes = jax.eval_shape(lambda: made.init_state(0)).variables
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, leaf.dtype), shapes)
    load.of_experiment(loaded, variables, 'here').save(tmp_path / 'net.safetensors')
    net = load.load(tmp_path / 'net.safetensors')
    assert net.task == made.task
    assert net.model == made.model
    arguments = {'joints': list(NAMES), 'torso': [0, 9]}
    weights.save(tmp_path / 'other.safetensors', made.model, variables, task='pose', task_arguments=arguments,
                 preprocessing=net.prepared())  # fmt: skip
    with pytest.raises(StorageError, match='does not say what its task pose needs'):
        load.load(tmp_path / 'other.safetensors')


@pytest.mark.parametrize(
    ('given', 'match'),
    [
        ({'joints': ('a', 'a')}, 'joints: got'),
        ({'torso': (0, 4)}, 'torso: got'),
        ({'torso': (1, 1)}, 'torso: got'),
        ({'sigmas': (0.1,)}, 'one above 0 for each of the 4 joints'),
        ({'sigmas': (0.1, 0.1, 0, 0.1)}, 'one above 0 for each of the 4 joints'),
        ({'loss_form': 'l2'}, 'it is one of softmax, mse'),
        ({'sigma': 0.0}, 'sigma: got 0.0'),
    ],
)
def test_arguments_that_cannot_be_are_named(given, match):
    options = {'joints': NAMES, 'torso': (0, 1)} | given
    with pytest.raises(CnnJaxError, match=match):
        pose.task(options.pop('joints'), **options)


def test_a_transposed_convolution_is_laxs_and_doubles():
    images = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 5, 4)), jnp.float32)
    layer = Conv2DTranspose(6, 4, strides=2, padding='same')
    variables: Any = layer.init(jax.random.key(0), images)
    kernel = variables['params']['kernel']
    assert kernel.shape == (4, 4, 6, 4)
    bias = jnp.arange(6.0)
    outputs: Any = layer.apply({'params': {'kernel': kernel, 'bias': bias}}, images)
    assert outputs.shape == (2, 6, 10, 6)
    expected = jax.lax.conv_transpose(
        images, kernel, (2, 2), 'SAME', transpose_kernel=True, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    np.testing.assert_allclose(outputs, expected + bias.reshape(1, 1, 1, 6), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('deconvs', 'size', 'expected'), [(1, (48, 48), (24, 24)), (0, (33, 50), (9, 13)), (2, (32, 16), (32, 16))]
)
def test_each_transposed_convolution_doubles_the_heat_maps(deconvs, size, expected):
    model = SimpleBaseline(ResNet(depth=8, layout='cifar', width=0.25, maps=True), num_keypoints=4, num_deconvs=deconvs)
    images = jax.ShapeDtypeStruct((2, *size, 1), jnp.float32)
    maps, _ = jax.eval_shape(lambda images: model.init_with_output(jax.random.key(0), images, train=False), images)
    assert maps.shape == (2, *expected, 4)


class Always(nn.Module):
    """A net that answers one place for each joint: row 3 and column 6 of 12."""

    @nn.compact
    def __call__(self, images, *, train):
        return jnp.zeros((len(images), 12, 12, len(NAMES))).at[:, 3, 6].set(9)


def test_predicted_joints_are_in_pixels_of_the_picture(tmp_path):
    """The picture is twice as high as it is wide: its middle is shown."""
    net = Net(
        model=Always(), variables={}, task=TASK, class_names=(), preprocess=lambda keys, batch: batch,
        image_shape=DATA.image_shape, read_file=DATA.read_file, view_of=DATA.view_of, source='a test',
    )  # fmt: skip
    Image.new('L', (96, 192)).save(tmp_path / '7.png')
    answer = net.predict(tmp_path / '7.png')
    expected = [96 * 6.5 / 12, 48 + 96 * 3.5 / 12]
    assert answer['keypoints']['tail']['place'] == pytest.approx(expected)
    (record,) = TASK.records({'file': '7.png', **answer}, 7, ())
    assert record['image_id'] == 7
    assert record['keypoints'][:3] == pytest.approx([*expected, 1])
    assert TASK.records({'file': '7.png', 'error': 'damaged'}, 7, ()) == []
