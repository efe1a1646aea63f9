"""Exporting a run: the folder, what its README shows, what is compared, and what is refused."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small_imagenet import make_tree

from cnn_jax import experiment
from cnn_jax.data.formats.encoded import Decoding
from cnn_jax.errors import CnnJaxError
from cnn_jax.export import check, fresh, onnx_writer, preprocessing
from cnn_jax.export.function import in_float32, make_function
from cnn_jax.export.run import Trained, export
from cnn_jax.files import cache
from cnn_jax.main import main
from cnn_jax.models.fcn import FCN
from cnn_jax.models.resnet import ResNet
from cnn_jax.modes.export import images_of
from cnn_jax.steps.inputs import evaluation_inputs

TINY = str(Path(__file__).parent / 'tiny_experiment.py')


@pytest.fixture(scope='module')
def finished(tmp_path_factory, signal_handlers):
    folder = tmp_path_factory.mktemp('runs') / 'tiny'
    assert main([f'--experiment={TINY}', '--config.num_steps=2', f'--workdir={folder}', '--nopictures']) == 0
    return folder


@pytest.fixture(scope='module')
def exported(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp('exported') / 'new' / 'folder'
    assert main(['--mode=export', f'--workdir={finished}', f'--output={folder}']) == 0
    return folder


def test_the_folder_has_what_another_program_needs(exported):
    names = {'model.stablehlo', 'model.onnx', 'class_names.json', 'preprocessing.json', 'example.npz', 'README.md'}
    assert {path.name for path in exported.iterdir()} == names
    assert json.loads((exported / 'class_names.json').read_text()) == list('abcdefghij')
    text = (exported / 'README.md').read_text()
    assert 'uint8 (batch, 8, 8, 1)' in text
    assert 'opset 18' in text
    assert text.count('23 images at batch 1 and 7') == 2
    assert text.count('all answers are equal') == 2


@pytest.mark.parametrize(
    ('name', 'options'),
    [('lenet_digits', {}), ('resnet_imagenet', {}), ('scenes_segment', {}), ('finetune_folder', {'upright': True})],
)
def test_the_lines_for_a_picture_file_make_what_evaluation_does(name, options, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, 'folder', lambda name: tmp_path / 'cache')
    if name == 'finetune_folder':
        options |= {'folder': str(make_tree(tmp_path / 'photos')), 'image_size': 60, 'resize': 70}
    data, colours = experiment.load(name, options).experiment.data, np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    for size in ((90, 61), (333, 500)):
        picture = Image.fromarray(colours.integers(0, 256, (*size, 3), np.uint8))
        exif = picture.getexif()
        exif[0x0112] = 6  # on its side
        picture.save('picture.jpg', exif=exif)
        made: Any = {}
        exec(preprocessing.from_a_file(data), made)
        assert made['images'].dtype == np.uint8
        np.testing.assert_array_equal(made['images'][0], data.read_file(Path('picture.jpg').read_bytes()))


def test_the_lines_of_its_readme_give_the_example(exported):
    """In one process that knows nothing of this project."""
    _, *blocks = re.findall(r'```python\n(.*?)```', (exported / 'README.md').read_text(), re.DOTALL)
    assert [len(block.strip().splitlines()) for block in blocks] == [5, 5]
    code = '\n'.join([*blocks, 'import sys; print(any("cnn_jax" in name for name in sys.modules))'])
    done = subprocess.run([sys.executable, '-I', '-c', code], cwd=exported, capture_output=True, text=True, check=True)
    *differences, knows = done.stdout.split()
    assert knows == 'False'
    assert len(differences) == 2
    assert all(float(difference) < 1e-5 for difference in differences)


def test_preprocessing_is_measured_and_says_what_comes_before():
    made = experiment.load('lenet_digits', {}).experiment
    described = preprocessing.describe(made)
    assert described['input']['dtype'] == 'uint8'
    assert 'fitted' in described['before_the_file']
    inside = described['inside_the_file']
    assert inside['kind'] == 'standardise'
    pixels = np.arange(256).reshape(1, 16, 16, 1).astype(np.uint8)
    images = np.zeros((1, *made.data.image_shape), np.uint8)
    images[:, :16, :16] = pixels
    batch: Any = {name: np.zeros((1, *shape), dtype) for name, (shape, dtype) in made.data.row_shapes().items()}
    batch['image'] = images
    seen = evaluation_inputs(batch, preprocess=made.preprocess)['image']
    expected = (images / 255 - inside['mean']) / inside['std']
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_the_preparation_of_picture_files_is_said():
    made = experiment.load('resnet_imagenet', {}).experiment
    before = preprocessing.describe(made)['before_the_file']
    decoding = getattr(made.data.decode, '__self__', None)
    assert isinstance(decoding, Decoding)
    assert (before['short_side'], before['centre_crop']) == (decoding.resize, decoding.size)


def test_a_preprocessing_that_is_not_linear_is_said_to_be_its_own():
    made = experiment.load(TINY, {}).experiment  # it makes a NaN of 255
    assert preprocessing.describe(made)['inside_the_file']['kind'] == 'own'


def tiny_net() -> Trained:
    made = experiment.load(TINY, {}).experiment
    state = made.init_state(0)
    return Trained(made, state.variables, 'tiny')


def test_a_file_that_differs_is_refused_with_its_first_layer_and_nothing_is_written(tmp_path, monkeypatch):
    """The writer is made to forget that a ReLU cuts: the convolution ends before it, so the norm is the first."""
    largest = onnx_writer.RULES['max']

    def forgets(graph, job):
        return job.values[0] if job.rank == 4 else largest(graph, job)

    monkeypatch.setitem(onnx_writer.RULES, 'max', forgets)
    images, said = np.random.default_rng(0).integers(0, 200, (9, 8, 8, 1), np.uint8), []
    with pytest.raises(CnnJaxError, match=r'model.onnx: .*the first layer that leaves it is norm1;'):
        export(tiny_net(), tmp_path / 'out', images, formats=['onnx'], say=said.append)
    assert not (tmp_path / 'out').exists()
    assert 'largest difference' in said[0]


def test_a_model_of_an_earlier_export_stays_and_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(check, 'measure', lambda *given: check.Outcome('nothing', 1, 0.0, 0, True))
    (tmp_path / 'model.onnx').write_bytes(b'old')
    images, said = np.zeros((1, 8, 8, 1), np.uint8), []
    export(tiny_net(), tmp_path, images, formats=['stablehlo'], say=said.append)
    assert (tmp_path / 'model.onnx').read_bytes() == b'old'
    assert 'model.onnx is of an earlier export' in said[-1]
    assert '## model.onnx' not in (tmp_path / 'README.md').read_text()


@pytest.mark.parametrize('name', ['multilabel_digit_pairs', 'lenet_digits'])
def test_the_function_gives_probabilities_and_the_layers_in_their_order(name):
    made = experiment.load(name, {}).experiment
    variables = jax.eval_shape(made.init_state, 0).variables
    images = jax.ShapeDtypeStruct((2, *made.data.image_shape), np.uint8)
    plain = jax.eval_shape(make_function(made), variables, images)
    assert {name: array.shape for name, array in plain.items()} == {'probabilities': (2, made.data.num_classes)}
    names = []
    function = make_function(made, with_layers=True)
    jax.eval_shape(lambda *given: names.extend(function(*given)), variables, images)
    assert names[0] == next(iter(variables['params']))
    assert names[-1] == 'probabilities'


def test_a_net_of_16_bits_is_exported_with_32():
    made = experiment.load('resnet_digits', {}).experiment
    assert in_float32(made.model) is made.model
    assert in_float32(made.model.clone(dtype=jnp.bfloat16)) == made.model
    net = FCN(ResNet(depth=18, maps=True))
    assert in_float32(net) is net
    assert in_float32(net.clone(trunk=net.trunk.clone(dtype=jnp.bfloat16))) == net


def test_a_model_of_more_than_images_is_refused():
    made = experiment.load(TINY, {}).experiment

    class Asked(type(made.task)):
        model_inputs = ('question',)

    with pytest.raises(CnnJaxError, match='takes question beside the images'):
        make_function(dataclasses.replace(made, task=Asked()))


def test_without_its_data_random_images_are_compared_and_it_is_said(tmp_path):
    images, said = images_of(experiment.load('resnet_imagenet', {}).experiment, tmp_path)
    assert images.shape == (32, 224, 224, 3)
    assert 'random pixels' in said


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ([], '--output=FOLDER'),
        (['--output=README.md'], 'is a file; give a folder'),
        (['--output=new', '--formats=tflite'], "'tflite' given; allowed are stablehlo, onnx"),
    ],
)
def test_mistakes_are_one_line(finished, arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent)
    assert main(['--mode=export', f'--workdir={finished}', *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_a_file_that_cannot_be_run_is_one_line(tmp_path):
    path = tmp_path / 'model.onnx'
    path.write_bytes(b'nothing')
    with pytest.raises(CnnJaxError, match=r'model.onnx: a fresh process cannot run it: .'):
        check.run(path, np.zeros((2, 3, 3, 1), np.uint8), ['outputs'])


def test_batches_are_full_and_every_row_comes_once():
    sizes = []

    def run(images):
        sizes.append(len(images))
        return [images * 2]

    images = np.arange(32)[:, None]
    (found,) = fresh.in_batches(run, images, 7)
    assert (found == 2 * images).all()
    assert sizes == [7] * 5


def test_what_is_another_answer():
    ours = np.array([[0.7, 0.3], [0.4, 0.6], [0.5, 0.5]])
    assert check.other_answers(ours, ours) == 0
    assert check.other_answers(ours, ours[:, ::-1]) == 2  # a tie has no order
    assert check.within(ours, ours + 5e-5)
    assert not check.within(ours, ours + 5e-4)
    assert not check.within(ours, np.full_like(ours, np.nan))
    assert check.within(1000 * ours, 1000 * ours + 0.05)
    layers = {'a': ours, 'b': ours}
    assert check.first_layer(['a', 'b'], layers, {'a': ours, 'b': 2 * ours}) == 'b'
    assert check.first_layer(['a', 'b'], layers, layers) is None
