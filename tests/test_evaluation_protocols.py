"""Evaluation protocols against their definitions written out; the same numbers whatever the batch and the devices."""

# pyright: reportArgumentType=false
# (Numpy arrays stand in for JAX arrays.)

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import colour_experiment
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from colour_experiment import RESIZE, SIZE, Colour
from small_imagenet import CLASSES, cut, jpeg, make_tree

from cnn_jax.data.formats import shards, tree, views
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.evaluation.protocols import PROTOCOLS, compare_protocols, run, sets
from cnn_jax.evaluation.protocols.dense import apply_densely
from cnn_jax.experiment import load
from cnn_jax.layers import Conv2D, Dense, MaxPool
from cnn_jax.models.vgg import VGG
from cnn_jax.training import states
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.config import describe_run
from cnn_jax.workdir.config_file import write_config

LAUNCHER = Path(__file__).parent.parent / 'launch' / 'local.sh'


class Plain(nn.Module):
    """No padding: what it says of a place is what it says of the crop there."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x = MaxPool(2)(Conv2D(4, 3, activation=nn.relu)(images))
        x = Dense(5, activation=nn.relu, name='fc1')(x.reshape(len(x), -1))
        return Dense(3, name='fc2')(x)


def draw(model, shape):
    """Weights from numpy, without compiling initialisers."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(shape), train=False))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: (rng.standard_normal(leaf.shape) / 4).astype(np.float32), shapes)


# A fully convolutional net


def test_dense_layers_slide():
    images = np.random.default_rng(1).standard_normal((2, 12, 10, 3)).astype(np.float32)
    variables = draw(Plain(), (1, 8, 8, 3))
    crops = np.stack([images[:, top : top + 8, left : left + 8] for top in (0, 2, 4) for left in (0, 2)])
    alone = jax.jit(lambda crops: Plain().apply(variables, crops, train=False))(crops.reshape(12, 8, 8, 3))
    expected = np.asarray(alone).reshape(6, 2, 3).mean(0)
    densely = jax.jit(lambda images: apply_densely(Plain(), variables, images))(images)
    np.testing.assert_allclose(densely, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match='fc1 has 36 inputs, and the map before it is 2 x 3 x 4'):
        apply_densely(Plain(), variables, images[:, :6, :8])


@pytest.mark.parametrize(
    ('size', 'options'),
    [
        (16, {'stage_sizes': (1, 1, 1), 'width': 1 / 16, 'head_size': None}),
        (16, {'stage_sizes': (1, 1, 1), 'width': 1 / 16, 'head_size': 2}),
        (224, {'width': 1 / 32}),  # the paper's A, narrow
    ],
)
def test_at_its_own_size_vgg_is_the_same(size, options):
    model = VGG(num_classes=5, hidden_units=64, **options)
    images = np.random.default_rng(1).standard_normal((2, size, size, 3)).astype(np.float32)
    variables = draw(model, (1, size, size, 3))

    @jax.jit
    def both(images):
        return model.apply(variables, images, train=False), apply_densely(model, variables, images)

    plain, densely = both(images)
    assert np.ptp(plain) > 1e-3
    np.testing.assert_allclose(densely, plain, rtol=1e-5, atol=1e-6)
    larger = jax.eval_shape(lambda images: apply_densely(model, variables, images), jnp.zeros((2, 2 * size, size, 3)))
    assert larger.shape == (2, 5)


# Views


def test_views_are_resized_by_the_filter_of_the_evaluation():
    """Of ten crops the centre is that of the evaluation, whichever its filter."""
    encoded = jpeg(3)
    for interpolation in ('bilinear', 'bicubic'):
        decoding = Decoding(SIZE, RESIZE, interpolation=interpolation)
        (view,) = run._views(PROTOCOLS['ten_crop'], decoding)
        centre = view(views.decode(encoded, max_pixels=decoding.max_pixels))[4]
        np.testing.assert_array_equal(centre, decoding.centre(encoded))


def test_ten_crop_places():
    picture = cut(1, width=70, height=50)
    crops = views.ten_crop(picture, resize=40, size=32)  # 56 x 40
    pixels = np.asarray(views.resize_short(picture, 40))
    places = [(0, 0), (0, 24), (8, 0), (8, 24), (4, 12)]
    for crop, (top, left) in zip(crops, places, strict=True):
        np.testing.assert_array_equal(crop, pixels[top : top + 32, left : left + 32])


@pytest.mark.parametrize(('width', 'height'), [(70, 50), (50, 70)])
def test_144_crops(width, height):
    crops = views.crops_144(cut(1, width=width, height=height), size=28)
    assert len(crops) == 72  # and as many mirrored
    assert {crop.shape for crop in crops} == {(28, 28, 3)}
    assert len({crop.tobytes() for crop in crops}) == 72


def test_dense_views_have_few_shapes():
    shapes = {
        views.whole(cut(1, width=width, height=60), short=64, multiple=32)[0].shape for width in range(60, 120, 7)
    }
    assert shapes == {(64, 64, 3), (64, 96, 3)}
    thin = views.whole(views.decode(_png(1, 400), max_pixels=10**6), short=32, multiple=32)[0]
    assert thin.shape == (128, 32, 3)


def _png(width, height):
    import io

    buffer = io.BytesIO()
    cut(1, width=width, height=height).save(buffer, 'PNG')
    return buffer.getvalue()


# The run


@pytest.fixture(scope='module')
def experiment():
    return colour_experiment.experiment()


@pytest.fixture(scope='module')
def source(experiment, data_dir):
    return experiment.data.open('test', data_dir)


def table(experiment, source, variables, data_dir, *, batch_size=8, devices=1, sets=(), protocols=('center',)):
    mesh = mapping.make_mesh(devices)
    return compare_protocols(
        experiment,
        mapping.replicate(mesh, variables),
        source,
        protocols=protocols,
        sets=sets,
        data_dir=data_dir,
        batch_size=batch_size,
        mesh=mesh,
        say=lambda line: None,
        poll=lambda: None,
    )


def test_one_table_whatever_the_batch_and_the_devices(experiment, source, data_dir):
    variables = draw(Colour(), (1, 8, 8, 3))
    names = tuple(PROTOCOLS)
    one = table(experiment, source, variables, data_dir, protocols=names)
    assert one == table(experiment, source, variables, data_dir, protocols=names, batch_size=7, devices=4)
    lines = one.splitlines()
    assert [line.split()[:3] for line in lines[1:6]] == [['test', name, '16'] for name in names]
    assert 'top-4 (95 %)' in lines[0]
    assert 'set test' in lines
    titles = lines.index('accuracy of each class') + 1
    assert lines[titles].split() == list(names)
    right = [int(line.split('(')[number].split()[0]) for line in lines[titles + 1 : titles + 5] for number in (1, 2)]
    for place in (0, 1):  # the classes together are the first column of the table
        assert f'{sum(right[place::2]) / 16:.2%} (' in lines[1 + place]
    assert [line for line in lines if 'matrix' in line] == [
        f'{name}: confusion matrix (rows: true class, columns: predicted)' for name in names
    ]


def test_two_processes_print_the_same_table(experiment, source, data_dir, tmp_path):
    loaded = load(colour_experiment.__file__, {})
    write_config(tmp_path, describe_run(loaded, seed=0, parallel='mapped', data_dir=data_dir))
    state = states.initial_state(experiment, states.abstract_state(experiment, mapping.make_mesh()), seed=0)
    with contextlib.closing(Checkpoints(tmp_path / 'checkpoints')) as checkpoints:
        checkpoints.save(1, state)
    names = ('center', 'dense', 'ten_crop')
    command = ['bash', str(LAUNCHER), '2', '--mode=evaluate', '--trust', f'--workdir={tmp_path}']
    command += [f'--data_dir={data_dir}', f'--protocols={",".join(names)}']
    flags = ' '.join(flag for flag in os.environ['XLA_FLAGS'].split() if 'device_count' not in flag)
    environment = {**os.environ, 'XLA_FLAGS': flags, 'DEVICES': '2', 'PYTHON': sys.executable}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert said.returncode == 0, said.stdout + said.stderr
    expected = table(experiment, source, mapping.fetch(state.variables), data_dir, protocols=names)
    ours = ''.join(line for line in said.stdout.splitlines(True) if not line.startswith('[Gloo]'))  # of a library
    assert ours.count('set test') == 1  # one process speaks
    assert ours.endswith(f'\n\n{expected}\n')


def test_ten_crop_is_the_mean_of_its_views(experiment, source):
    variables = draw(Colour(), (1, 8, 8, 3))
    mesh = mapping.make_mesh(1)
    step = run._map_step(experiment, PROTOCOLS['ten_crop'], mesh)
    one = run._Run(
        lambda batch: step(variables, batch), source, 'ten_crop', 4, batch_size=16, mesh=mesh, poll=lambda: None
    )
    found = one.probabilities()
    kernel, bias = variables['params']['fc']['kernel'], variables['params']['fc']['bias']
    for row in (0, 9):
        picture = views.decode(source.records([row])[0].encoded, max_pixels=10**6)
        crops = np.stack(views.ten_crop(picture, resize=RESIZE, size=SIZE))
        crops = np.concatenate([crops, crops[:, :, ::-1]])[:, :, ::2] / 255
        scores = np.exp(crops.mean((1, 2)) @ kernel + bias)
        np.testing.assert_allclose(found[row], (scores / scores.sum(1, keepdims=True)).mean(0), rtol=1e-5)
    assert one.labels == [(label,) for label in range(4) for _ in range(4)]


class Damaged(EncodedSource):
    """Row 5 is a JPEG file cut short."""

    def records(self, rows):
        cut = [record._replace(encoded=record.encoded[:-500]) for record in super().records(rows)]
        return [part if row == 5 else whole for row, part, whole in zip(rows, cut, super().records(rows), strict=True)]


def test_a_bad_image_is_not_counted(experiment, source, data_dir, caplog):
    damaged = Damaged(source.folder, 'test', Decoding(SIZE, RESIZE, max_bad_images=0.1))
    lines = table(experiment, damaged, draw(Colour(), (1, 8, 8, 3)), data_dir, protocols=('center', 'ten_crop'))
    lines = lines.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [['test', name, '15'] for name in ('center', 'ten_crop')]
    for name in ('center', 'ten_crop'):
        assert f'{name}: 1 of 16 test images could not be read and is not counted' in lines
    (second,) = (line for line in lines if line.startswith('  n02') and '%' in line)
    assert second.count('of 3)') == 2
    assert caplog.text.count('bad image') == 1
    assert 'it is not counted' in caplog.text


def test_no_good_image_is_an_error(experiment, source, data_dir):
    none = EncodedSource(source.folder, 'test', Decoding(SIZE, RESIZE, max_pixels=1, max_bad_images=1.0))
    with pytest.raises(DataError, match='none of the 16 images could be read'):
        table(experiment, none, draw(Colour(), (1, 8, 8, 3)), data_dir)


def test_scores_of_several_labels_and_of_some_classes():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1], [np.nan, 0.2, 0.1]], np.float32)
    labels = [(1, 2), (), (0,), (2,)]
    row = run.score(probabilities, labels, 'real', 'center', some_classes=False)
    np.testing.assert_array_equal(row.rank, [1, 1, 3])  # the second has no label; scores that are no numbers: wrong
    np.testing.assert_array_equal(row.label, [1, 0, 2])  # of several right ones that with the highest score
    np.testing.assert_array_equal(row.prediction[:2], [0, 1])
    np.testing.assert_allclose(row.loss[:2], [-np.log(0.5), -np.log(0.2)], rtol=1e-6)
    some = run.score(probabilities[[0, 2]], [(2,), (0,)], 'a', 'center', some_classes=True)
    np.testing.assert_array_equal(some.rank, [1, 0])  # class 1 is never right, so it is not scored
    np.testing.assert_allclose(some.confidence, [5 / 7, 2 / 3], rtol=1e-6)


def test_sets_are_found_and_missing_ones_said(tmp_path, experiment, source):
    root = make_tree(tmp_path / 'tree')
    items = {'test': tree.list_classes(root / 'val', CLASSES)}
    decoding = Decoding(SIZE, RESIZE)
    made = shards.build('imagenet_v2', tmp_path, items, class_names=CLASSES, say=lambda line: None, decoding=decoding)
    (tmp_path / 'imagenet_v2' / 'matched-frequency').mkdir()
    made.rename(tmp_path / 'imagenet_v2' / 'matched-frequency' / '3.0.0')
    opened = sets.open_set('v2', tmp_path, like=source, num_classes=1000)
    assert len(opened) == 9
    assert opened.decoding == source.decoding
    assert opened.records([8])[0].labels == (2,)
    with pytest.raises(DataError, match=r'--sets=a: no imagenet_a in ArrayRecord form in .*tfds.builder\("imagenet_a"'):
        sets.open_set('a', tmp_path, like=source, num_classes=1000)
    with pytest.raises(CnnJaxError, match='the model has 4'):
        table(experiment, source, {}, tmp_path, sets=['v2'])


def test_wrong_names_and_sets_of_one_size(experiment, source, data_dir):
    with pytest.raises(CnnJaxError, match="unknown protocol: 'centre'; choose from: center"):
        table(experiment, source, {}, data_dir, protocols=['centre'])
    with pytest.raises(CnnJaxError, match="unknown set: 'v1'"):
        table(experiment, source, {}, data_dir, sets=['v1'])
    rows = [{'image': np.zeros((8, 8, 3), np.uint8), 'label': 0}]
    with pytest.raises(CnnJaxError, match='--protocols=dense: these images are kept at one size'):
        table(experiment, rows, {}, data_dir, protocols=['dense'])
