"""Super-resolution: measures against scikit-image, exact evaluation, and pictures that leave as they were judged."""

import functools
import io
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax import experiment
from cnn_jax.data import augment, photograph_blocks, scenes
from cnn_jax.data.formats.image import decode
from cnn_jax.data.formats.shrunk import HIGH
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import CnnJaxError
from cnn_jax.evaluation.evaluate import evaluate
from cnn_jax.models.edsr import EDSR
from cnn_jax.ops import bicubic
from cnn_jax.prediction.load import load, of_experiment
from cnn_jax.prediction.net import Net
from cnn_jax.prediction.run import predict
from cnn_jax.steps.evaluate import make_eval_step
from cnn_jax.steps.recipe import Parts
from cnn_jax.tasks import super_resolution
from cnn_jax.tasks.super_resolution import quality
from cnn_jax.tasks.super_resolution.measures import measure, to_pixels
from cnn_jax.workdir.log import Log

TASK = super_resolution.task()
DATA = photograph_blocks.load(batch_size=4, scale=2)
UNIT = augment.on_images(augment.to_unit_range)


class Sharpened(nn.Module):
    """Bicubic interpolation, and a little more contrast; without parameters."""

    @nn.compact
    def __call__(self, images, *, train):
        return 1.1 * bicubic(images, scale=2) - 0.05


def sharpened(images: np.ndarray) -> np.ndarray:
    """What `Sharpened` makes of images, uint8."""
    outputs: Any = Sharpened().apply({}, jnp.asarray(images, jnp.float32) / 255, train=False)
    return np.asarray(to_pixels(outputs)).astype(np.uint8)


def evaluated(model, variables, data_dir, *, devices=1, size=4):
    rows, mesh = DATA.open('test', data_dir), mapping.make_mesh(devices)
    step = mapping.map_eval(make_eval_step(Parts(model, TASK, UNIT)), mesh)

    def batches():
        for start in range(0, len(rows), size):
            index = np.arange(start, start + size)
            chosen = [rows[min(row, len(rows) - 1)] for row in index.tolist()]
            batch = {name: np.stack([row[name] for row in chosen]) for name in ('image', HIGH, 'label')}
            numbers = {'index': np.where(index < len(rows), index, -1).astype(np.int32)}
            batch |= numbers | {'epoch': np.zeros(size, np.int32), 'mask': index < len(rows)}
            yield mapping.put_batch(mesh, batch)

    return evaluate(step, variables, batches(), task=TASK, data=DATA, poll=lambda: None)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('scale', [0, 2, 3])
def test_measures_on_the_devices_are_those_of_scikit_image(scale, channels):
    rng = np.random.default_rng(scale)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)).resize((40, 48), 3))
    truths = np.stack([rng.integers(0, 256, (48, 40, 3), np.uint8), smooth, np.full_like(smooth, 200)])[..., :channels]
    noise = rng.normal(0, np.array([90, 4, 0.4]).reshape(3, 1, 1, 1), truths.shape)
    answers = np.clip(np.round(truths + noise), 0, 255).astype(np.uint8)
    measured = jax.jit(functools.partial(measure, scale=scale))
    psnr, ssim = measured(jnp.asarray(answers, jnp.float32), jnp.asarray(truths, jnp.float32))
    expected = [quality(*pair, scale=scale) for pair in zip(answers, truths, strict=True)]
    np.testing.assert_allclose(psnr, [one.psnr for one in expected], atol=1e-3)
    np.testing.assert_allclose(ssim, [one.ssim for one in expected], atol=1e-5)


def test_equal_images_have_no_error_and_lost_pixels_no_measure():
    truth = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3)), jnp.float32)
    psnr, ssim = measure(truth.at[1, 9, 9, 0].set(jnp.nan), truth, scale=2)
    assert psnr[0] == np.inf
    assert ssim[0] == pytest.approx(1, abs=1e-6)
    assert np.isnan([psnr[1], ssim[1]]).all()
    with pytest.raises(ValueError, match='11 a side are needed'):
        measure(truth, truth, scale=5)


def test_answers_are_rounded_and_held_to_eight_bits():
    values = jnp.array([-0.5, 0.0, 1.4 / 255, 1.6 / 255, 1.0, 7.0, jnp.nan]).reshape(1, 1, -1, 1)
    np.testing.assert_array_equal(np.ravel(to_pixels(values)), [0, 0, 1, 2, 255, 255, np.nan])


def test_a_flat_piece_that_is_exact_does_not_make_a_mean_infinite():
    batch = {'image': jnp.full((2, 12, 12, 3), 0.2), HIGH: jnp.full((2, 24, 24, 3), 51, jnp.uint8)}
    found = TASK.results(jnp.full((2, 24, 24, 3), 0.2).at[1].set(0.4), batch)
    np.testing.assert_array_equal(found['bicubic_psnr'], 100)
    assert found['psnr'][0] == 100
    assert found['psnr'][1] == pytest.approx(20 * np.log10(255 / 51 / (219 / 255)), abs=1e-3)


def test_a_net_that_adds_nothing_has_the_numbers_of_bicubic(data_dir):
    model = EDSR(scale=2, filters=4, blocks=1, residual=True)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)
    found = evaluated(model, variables, data_dir)
    np.testing.assert_array_equal(found.results['psnr'], found.results['bicubic_psnr'])
    np.testing.assert_array_equal(found.results['ssim'], found.results['bicubic_ssim'])
    assert found.summary['psnr'] == found.summary['bicubic_psnr']


@pytest.mark.parametrize(('devices', 'size'), [(1, 1), (1, 3), (8, 16)])
def test_results_depend_on_neither_batch_size_nor_devices(devices, size, data_dir):
    found = evaluated(Sharpened(), {}, data_dir, devices=devices, size=size)
    rows = DATA.open('test', data_dir)
    images, truths = (np.stack([rows[row][name] for row in range(len(rows))]) for name in ('image', HIGH))
    answers = sharpened(images)
    expected = [quality(one, truth, scale=2) for one, truth in zip(answers, truths, strict=True)]
    np.testing.assert_allclose(found.results['psnr'], [one.psnr for one in expected], atol=1e-3)
    np.testing.assert_allclose(found.results['ssim'], [one.ssim for one in expected], atol=1e-5)
    whole = evaluated(Sharpened(), {}, data_dir, size=len(rows))
    for name, values in whole.results.items():
        np.testing.assert_array_equal(found.results[name], values)
    assert found.summary == whole.summary
    assert found.summary['psnr'] == pytest.approx(np.mean([one.psnr for one in expected]), abs=1e-3)


def test_an_evaluation_says_bicubic_beside_every_number(data_dir):
    found = evaluated(Sharpened(), {}, data_dir)
    words = TASK.words(found, DATA)
    assert f'PSNR on Y       {found.summary["psnr"]:.2f} dB (bicubic {found.summary["bicubic_psnr"]:.2f})' in words
    assert f'(bicubic {found.summary["bicubic_ssim"]:.4f})' in words
    assert 'PSNR of china' in words
    assert 'bicubic' in TASK.line('validation', found.summary)
    details = json.loads(json.dumps(TASK.details(found, DATA)))
    china = found.results['label'] == 0
    assert details['by_photograph']['china']['psnr'] == pytest.approx(found.results['psnr'][china].mean(), rel=1e-6)
    assert set(TASK.result_columns({name: one[0] for name, one in found.results.items()}, DATA.class_names)) == {
        'photograph', 'psnr', 'bicubic_psnr', 'ssim', 'bicubic_ssim', 'loss'
    }  # fmt: skip


def test_losses_have_closed_forms():
    batch = {HIGH: jnp.full((2, 4, 4, 3), 51, jnp.uint8)}  # 0.2
    outputs = jnp.full((2, 4, 4, 3), 0.5).at[1].set(0.2)
    np.testing.assert_allclose(TASK.loss(outputs, batch), [0.3, 0], atol=1e-6)
    np.testing.assert_allclose(super_resolution.task(loss='mse').loss(outputs, batch), [0.09, 0], atol=1e-6)
    with pytest.raises(CnnJaxError, match=r'gives images of \(4, 4, 3\), the truth has \(8, 8, 3\)'):
        TASK.loss(outputs, {HIGH: jnp.zeros((2, 8, 8, 3), jnp.uint8)})
    with pytest.raises(CnnJaxError, match="loss: 'l3' given; it is one of l1, mse"):
        super_resolution.task(loss='l3')  # pyright: ignore[reportArgumentType]
    with pytest.raises(CnnJaxError, match="has no 'high_resolution' in its rows"):
        TASK.check(scenes.load(batch_size=2))
    TASK.check(DATA)


def test_a_pixel_of_the_answer_can_be_explained():
    outputs = np.zeros((6, 4, 3), np.float32)
    middle, fifth = (TASK.explained(outputs, unit, ()) for unit in (None, 5))
    assert np.argwhere(middle.target).tolist() == [[3, 2, channel] for channel in range(3)]
    assert np.argwhere(fifth.target).tolist() == [[1, 1, channel] for channel in range(3)]
    with pytest.raises(CnnJaxError, match='unit: 24 given; a pixel is 0 to 23'):
        TASK.explained(outputs, 24, ())


@pytest.fixture(scope='module')
def net():
    return Net(
        model=Sharpened(), variables={}, task=TASK, class_names=(), preprocess=UNIT, image_shape=(48, 48, 3),
        read_file=decode, source='a test',
    )  # fmt: skip


def test_a_prediction_is_the_picture_that_was_evaluated(net, data_dir):
    rows = DATA.open('test', data_dir)
    found = evaluated(Sharpened(), {}, data_dir)
    answers = net.predict([rows[row]['image'] for row in range(len(rows))])
    for row, answer in enumerate(answers):
        measured = quality(answer['enlarged'], rows[row][HIGH], scale=2)
        assert measured.psnr == pytest.approx(found.results['psnr'][row], abs=1e-3)
        assert measured.ssim == pytest.approx(found.results['ssim'][row], abs=1e-5)
    assert repr(net).startswith('<Sharpened of a test: super_resolution; images of 48 x 48 x 3')


def test_pictures_of_any_size_leave_as_png_files_in_their_order(net, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / 'in').mkdir()
    given = {name: rng.integers(0, 256, shape, np.uint8) for name, shape in
             {'a': (48, 48, 3), 'b': (7, 30, 3), 'c': (48, 48, 3), 'd': (9, 5)}.items()}  # fmt: skip
    for name, pixels in given.items():
        Image.fromarray(pixels).save(tmp_path / 'in' / f'{name}.png')
    (tmp_path / 'in' / 'e.png').write_bytes(b'no image')
    options = {'batch_size': 2, 'stop': StopRequest(), 'log': Log(None, quiet=True)}
    predict(net, str(tmp_path / 'in'), tmp_path / 'out', **options)
    answers = net.predict([tmp_path / 'in' / f'{name}.png' for name in given])
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['a.png', 'b.png', 'c.png', 'd.png']
    for (name, pixels), answer in zip(given.items(), answers, strict=True):
        colour = np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], 3))
        expected = sharpened(colour[None])[0]
        with Image.open(tmp_path / 'out' / f'{name}.png') as picture:
            np.testing.assert_array_equal(np.asarray(picture), expected)
        np.testing.assert_array_equal(answer['enlarged'], expected)
        assert (answer['height'], answer['width']) == expected.shape[:2]
    predict(net, str(tmp_path / 'in' / 'd.png'), tmp_path / 'd.json', **options)
    (row,) = json.loads((tmp_path / 'd.json').read_text())
    np.testing.assert_array_equal(row['enlarged'], answers[3]['enlarged'])
    predict(net, str(tmp_path / 'in'), tmp_path / 'all.csv', **options)
    assert (tmp_path / 'all.csv').read_text().splitlines()[2] == f'{tmp_path / "in" / "b.png"},60,14,'


def test_grey_answers_leave_as_grey_files():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    with Image.open(io.BytesIO(TASK.as_image({'enlarged': pixels}))) as picture:
        assert picture.mode == 'L'
        np.testing.assert_array_equal(np.asarray(picture), pixels[..., 0])


def test_an_answer_that_is_no_number_is_an_error(net):
    class Lost(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            return bicubic(images, scale=2).at[:, 0, 0, 0].set(jnp.nan)

    lost = Net(
        model=Lost(), variables={}, task=TASK, class_names=(), preprocess=UNIT, image_shape=(4, 4, 3),
        read_file=decode, source='a test',
    )  # fmt: skip
    assert lost.predict(np.zeros((4, 4, 3), np.uint8)) == {'error': 'the outputs of the net are not finite'}


def test_a_saved_net_enlarges_as_the_experiment_does(tmp_path):
    loaded = experiment.load('photographs_enlarge', {'smoke': True})
    made = loaded.experiment
    shapes = jax.eval_shape(lambda: made.init_state(0)).variables
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.normal(0, 0.05, leaf.shape).astype(leaf.dtype), shapes)
    ours = of_experiment(loaded, variables, 'a test')
    ours.save(tmp_path / 'net.safetensors')
    theirs = load(tmp_path / 'net.safetensors')
    picture = rng.integers(0, 256, (20, 31, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / 'picture.png')
    one, other = (net.predict(tmp_path / 'picture.png') for net in (ours, theirs))
    assert other['enlarged'].shape == (40, 62, 3)
    np.testing.assert_array_equal(one['enlarged'], other['enlarged'])
    assert theirs.task == TASK
