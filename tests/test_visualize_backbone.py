"""A backbone alone, without its head and without its data set: what is optimised has the right colours at any size."""

from typing import Any

import flax.linen as nn
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_net import drawn
from PIL import Image

from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.main import main
from cnn_jax.models import vgg
from cnn_jax.models.vgg import CAFFE_MEAN
from cnn_jax.visualize import deep_dream, invert, multifaceted, units
from cnn_jax.visualize.engine.examples import Absent
from cnn_jax.visualize.optimized import inputs as maps
from cnn_jax.visualize.optimized import natural

RNG = np.random.default_rng(0)
SIZES = {'stage_sizes': (1, 2), 'filters': (4, 6), 'num_classes': 2, 'hidden_units': 4}


@jax.jit
def caffe(pixels) -> jax.Array:
    """What a net of Caffe takes: blue, green, red, 0 .. 255 less the mean."""
    return jnp.asarray(pixels, jnp.float32)[..., ::-1] - jnp.asarray(CAFFE_MEAN)[None, None, None]


ABSENT = Absent(caffe, (24, 24, 3))


class Colors(nn.Module):
    """The channels of the inputs, as they are: the first is blue where the preprocessing has it first."""

    @nn.compact
    def __call__(self, images):
        kernel = lambda *arguments: jnp.eye(3)[None, None]  # noqa: E731
        return nn.Conv(3, (1, 1), use_bias=False, kernel_init=kernel, name='same')(images)


@pytest.fixture(scope='module')
def net() -> Any:
    model = vgg.VGG(**SIZES, maps=True)
    return model, drawn(model, jax.ShapeDtypeStruct((1, 24, 24, 3), np.float32), train=False)


@pytest.fixture(scope='module')
def colors() -> Any:
    return Colors(), jax.jit(Colors().init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


@pytest.mark.parametrize('resizes', [False, True])
def test_pixels_go_to_inputs_and_back_in_any_order_of_the_channels(resizes):
    pixels = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    found = maps.measured(caffe, pixels, resizes=resizes)
    np.testing.assert_allclose(found(jnp.asarray(pixels[None]) / 255), caffe(pixels[None]), atol=1e-3)
    np.testing.assert_allclose(found.images(caffe(pixels[None])), pixels[None] / 255, atol=1e-5)


@pytest.mark.parametrize(
    'preprocess',
    [
        lambda pixels: jnp.square(jnp.asarray(pixels, jnp.float32)),
        lambda pixels: jnp.repeat(jnp.asarray(pixels, jnp.float32).mean(-1, keepdims=True), 3, -1),  # grey: no way back
        lambda pixels: jnp.asarray(pixels, jnp.float32) * jnp.linspace(0, 1, 5)[None, :, None, None],
    ],
)
def test_a_preprocessing_that_is_no_map_of_colours_is_refused(preprocess):
    with pytest.raises(CnnJaxError, match='does more to a photograph'):
        maps.measured(preprocess, RNG.integers(0, 256, (5, 7, 3), np.uint8), resizes=True)


@pytest.mark.parametrize(('unit', 'color'), [(0, 'blue'), (1, 'green'), (2, 'red')])
def test_a_unit_of_blue_is_painted_blue(colors, unit, color):
    """The first channel that a net of Caffe sees is blue; the picture is in red, green and blue as all pictures."""
    found = units.visualize(*colors, training=ABSENT, layer='same', unit=unit, preset='plain', steps=60, size=16)
    red, green, blue = found['images'][0, 0].mean((0, 1))
    assert {'red': red, 'green': green, 'blue': blue}[color] > 0.9
    assert sorted([red, green, blue])[1] < 0.6
    dreamt = deep_dream.visualize(
        *colors, images=caffe(np.full((1, 16, 16, 3), 128, np.uint8)), training=ABSENT, layer='same', unit=unit,
        octaves=1, steps=30,
    )  # fmt: skip
    assert dreamt['images'][0].mean((0, 1)).argmax() == ['red', 'green', 'blue'].index(color)


@pytest.mark.parametrize(('height', 'width'), [(20, 31), (27, 18)])
def test_an_orthogonal_layer_gives_a_picture_of_any_size_back_in_its_colours(colors, height, width):
    photograph = np.zeros((height, width, 3), np.uint8)
    photograph[:, : width // 2] = (220, 60, 30)
    photograph[:, width // 2 :] = (20, 90, 200)
    found = invert.visualize(
        *colors, images=caffe(photograph[None]), training=ABSENT, photograph=photograph, size=40, layer='same',
        steps=200, variation=0.0, powers=0.0,
    )  # fmt: skip
    assert found['images'].shape == (1, 1, height, width, 3)
    np.testing.assert_allclose(found['originals'][0], photograph / 255, atol=1e-6)
    assert found['pixel_errors'].max() < 0.03


def test_no_step_of_a_dream_returns_the_photograph_at_any_size(net):
    photograph = RNG.integers(0, 256, (37, 50, 3), np.uint8)
    still = deep_dream.visualize(*net, images=None, training=ABSENT, photograph=photograph, size=50, steps=0)
    np.testing.assert_array_equal(still['images'][0], photograph / np.float32(255))
    assert still['layer'] == 'conv2_2'
    assert still['octaves'].tolist()[-1] == [37, 50]
    small = deep_dream.visualize(*net, images=None, training=ABSENT, photograph=photograph, size=30, steps=2)
    assert small['images'].shape == (1, 22, 30, 3)
    assert small['after'] > small['before']


def test_a_guide_is_an_image_file_of_any_size(net, tmp_path):
    photograph = RNG.integers(0, 256, (24, 30, 3), np.uint8)
    Image.fromarray(RNG.integers(0, 256, (60, 33, 3), np.uint8)).save(tmp_path / 'guide.png')
    options = {'images': None, 'training': ABSENT, 'photograph': photograph, 'size': 30, 'octaves': 1, 'steps': 3}
    found = deep_dream.visualize(*net, **options, guide=str(tmp_path / 'guide.png'))
    assert found['after'] > found['before']
    for guide, line in (('3', 'the training images are not there; give an image file'), ('no.png', 'no.png')):
        with pytest.raises(CnnJaxError, match=line):
            deep_dream.visualize(*net, **options, guide=guide)


def test_units_without_real_images_stand_alone(net):
    found = units.visualize(*net, training=ABSENT, layer='conv2_1', most=3, steps=8, size=20, diverse=2)
    assert found['images'].shape == (2, 3, 20, 20, 3)
    assert 'patches' not in found
    assert np.isfinite(found['activations']).all()
    assert len(units.draw(found).artists) == 6  # its pictures
    with pytest.raises(DataError, match='needs images that excite the unit'):
        multifaceted.visualize(*net, training=ABSENT)


@pytest.mark.parametrize('shape', [(8, 9, 3), (7, 6, 1), (5, 5, 3)])
def test_published_images_have_the_published_mean_and_colours(shape):
    """Independent colours of variance 1, so that an image has the covariance; magnitudes fall with the frequency."""
    found = natural.published(maps.Inputs(jnp.zeros(shape[2]), jnp.eye(shape[2])), shape)
    height, width, channels = shape
    assert found.magnitudes.shape == (height, width // 2 + 1, channels)
    whole = np.ones(width // 2 + 1) * 2
    whole[0] = 1
    whole[-1] = 2 - (width % 2 == 0)
    squares = (np.square(found.magnitudes) * whole[None, :, None]).sum((0, 1)) / (height * width)
    np.testing.assert_allclose(squares, 1, rtol=1e-5)
    variances = np.diag(np.asarray(found.colors) @ np.asarray(found.colors).T)
    assert float(found.norm) == pytest.approx(np.sqrt(variances.sum() * height * width), rel=1e-5)
    assert (np.diff(found.magnitudes[0, :, 0]) <= 0).all()


@pytest.fixture(scope='module')
def backbone(tmp_path_factory):
    """A file of a narrow VGG's convolutions, as Keras 3 writes it."""
    path, before = tmp_path_factory.mktemp('backbone') / 'net.weights.h5', 3
    with h5py.File(path, 'w') as file:
        for block, layers, filters in ((1, 1, 16), (2, 1, 32)):
            for layer in range(1, layers + 1):
                place = f'block{block}/layers/conv2d' + f'_{layer - 1}' * (layer > 1)
                file[f'{place}/vars/0'] = (0.02 * RNG.normal(size=(3, 3, before, filters))).astype(np.float32)
                file[f'{place}/vars/1'] = np.zeros(filters, np.float32)
                before = filters
    return path


@pytest.mark.parametrize(
    ('method', 'more'),
    [
        ('deep_dream', ['--set.size=40', '--set.steps=2', '--set.frames=2']),
        ('invert', ['--set.size=24', '--set.steps=3', '--layer=conv2_1']),
        ('units', ['--set.size=16', '--set.steps=3', '--set.most=2', '--layer=conv2_1']),
    ],
)
def test_the_command_needs_no_head_and_no_data(backbone, tmp_path, capsys, method, more):
    Image.fromarray(RNG.integers(0, 256, (50, 60, 3), np.uint8)).save(tmp_path / 'mine.png')
    image = [] if method == 'units' else [f'--image={tmp_path}/mine.png']
    done = main(
        ['--mode=visualize', f'--experiment={_narrow(tmp_path)}', '--preprocessing=weights',
         f'--init_from={backbone}', f'--method={method}', f'--data_dir={tmp_path}/none', f'--workdir={tmp_path}/out',
         *image, *more]
    )  # fmt: skip
    told = capsys.readouterr().out
    assert done == 0, told
    assert 'no training images are there to measure' in told
    assert 'fc8: not in' in told
    figures = {path.suffix for path in (tmp_path / 'out' / 'figures').iterdir()}
    assert {'.png', '.npz'} <= figures
    assert ('.gif' in figures) == (method == 'deep_dream')
    if method == 'deep_dream':  # the picture as it is, and the film with as many frames as were asked for
        with Image.open(tmp_path / 'out' / 'figures' / 'deep_dream_mine_picture.png') as picture:
            assert picture.size == (40, 33)
        with Image.open(tmp_path / 'out' / 'figures' / 'deep_dream_mine.gif') as film:
            assert getattr(film, 'n_frames', 1) == 2
            assert film.size == (40, 33)


def test_without_an_image_the_line_says_what_to_give(backbone, tmp_path, capsys):
    done = main(
        ['--mode=visualize', f'--experiment={_narrow(tmp_path)}', '--preprocessing=weights',
         f'--init_from={backbone}', '--method=deep_dream', f'--data_dir={tmp_path}/none', f'--workdir={tmp_path}/out']
    )  # fmt: skip
    assert done == 3
    assert 'give a picture of yours: --image=FILE' in capsys.readouterr().err


def _narrow(folder) -> str:
    """An experiment file: ImageNet's description, which needs no data, and a VGG of the file's sizes."""
    path = folder / 'narrow.py'
    path.write_text(
        '"""A narrow VGG."""\n'
        'import optax\n'
        'from cnn_jax.data import augment, imagenet\n'
        'from cnn_jax.experiment import Experiment\n'
        'from cnn_jax.models.vgg import VGG\n'
        'def experiment(*, smoke: bool = False) -> Experiment:\n'
        '    data = imagenet.load(batch_size=2)\n'
        '    model = VGG(stage_sizes=(1, 1), width=1 / 4, num_classes=data.num_classes)\n'
        '    change = augment.on_images(augment.standardise, mean=(0.5,) * 3, std=(0.2,) * 3)\n'
        '    return Experiment(model=model, data=data, optimizer=optax.sgd(0.1), num_steps=1, preprocess=change)\n'
    )
    return str(path)
