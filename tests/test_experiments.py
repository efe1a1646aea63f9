"""The contract of every experiment file, found by globbing: typed options, two steps of its smoke form."""

import functools
import importlib
import sys

import jax
import numpy as np
import pytest
from forms import sound, takes_part
from small_imagenet import make_tree

from cnn_jax import experiment, options
from cnn_jax.data import coco_captions, visual7w
from cnn_jax.describe import layer_table
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.training import states

# Those of ablations have a contract of their own, in test_experiments_ablations.py.
NAMES = [name for name in sound('experiment') if not name.startswith('ablations/')]

test_every_experiment_takes_part = takes_part('experiment')


@pytest.fixture(scope='module')
def required(tmp_path_factory):
    """Makes the options of an experiment that have no usable default; what is not asked for is not written."""

    @functools.cache
    def questions():
        folder = tmp_path_factory.mktemp('questions')
        visual7w.write_small(folder)
        return folder

    def captions():
        folder = tmp_path_factory.mktemp('captions')
        coco_captions.write_small(folder)
        return folder / coco_captions.FILE

    made = {
        'finetune_folder': lambda: {'folder': str(make_tree(tmp_path_factory.mktemp('photos')))},
        'coco_caption': lambda: {'annotations': str(captions())},
    }
    for form, file in visual7w.FILES.items():
        made[f'visual7w_{form}'] = lambda file=file: {'annotations': str(questions() / file)}
    return lambda name: made.get(name, dict)()


@pytest.mark.parametrize('name', NAMES)
def test_a_default_can_be_typed_as_it_is_shown(name):
    for row in options.signature(experiment.function(name)):
        assert options.parse(row, str(row.default)) == row.default, f'experiments/{name}.py: {row.name}={row.default}'


@pytest.mark.parametrize('name', NAMES)
def test_building_opens_no_data(name, monkeypatch, required):
    importlib.import_module('cv2')  # whose import reads files of its own

    def refuse(*args, **kwargs):
        raise AssertionError(f'experiments/{name}.py: data was opened; its source opens files in `open` and `prepare`')

    given = required(name)
    monkeypatch.setattr('builtins.open', refuse)
    made = experiment.load(name, given).experiment
    assert made.num_steps >= 1
    assert made.data.num_train > made.data.num_classes


@pytest.mark.parametrize('name', NAMES)
def test_smoke_form_takes_two_steps_and_evaluates(name, data_dir):
    made = experiment.load(name, {'smoke': True}).experiment
    assert made.num_steps == 2, f'experiments/{name}.py: take two steps where `smoke` is True: num_steps=2'
    mesh = mapping.make_mesh(1)
    feed = open_feed(made.data, data_dir=data_dir, seed=0, mesh=mesh)
    state = states.initial_state(made, states.abstract_state(made, mesh), seed=0)
    step = mapping.map_step(made.train_step(), mesh)
    for number in range(2):
        state, metrics = step(state, feed.train(number))
        assert np.isfinite(float(metrics['loss']))
    results = mapping.map_eval(made.eval_step(), mesh)(state.variables, next(feed.all_of('test', made.data.batch_size)))
    assert np.isfinite(np.asarray(results['loss'])).all()


def shapes_of_outputs(made):
    """Of all that a model gives, whatever its last layer is: a mean is none."""
    images = jax.ShapeDtypeStruct((2, *made.input_shape), np.float32)
    model, key = made.model, jax.random.key(0)
    outputs = jax.eval_shape(lambda images: model.init_with_output(key, images, train=False)[0], images)
    return [leaf.shape for leaf in jax.tree.leaves(outputs)]


@pytest.mark.parametrize('name', NAMES)
def test_its_layers_can_be_described(name, required):
    made = experiment.load(name, {'smoke': True, **required(name)}).experiment
    table = layer_table(made.model, made.input_shape)
    outputs = getattr(made.model, 'num_keypoints', made.data.num_classes)  # of each image, or of each place
    if made.task.any_size:  # it makes pictures
        outputs = made.data.image_shape[2]  # of each pixel
    if not made.task.model_inputs:  # a net that is asked scores the choices that it is given
        last = {shape[-1] for shape in shapes_of_outputs(made)}
        assert outputs in last, f'experiments/{name}.py: its model gives {last}, for {outputs} classes'
    assert sum(layer.parameters for layer in table if layer.depth == 1) > 0


@pytest.mark.parametrize('name', NAMES)
def test_module_imports_only_what_it_runs(name):
    experiment.function(name)
    assert 'tensorflow' not in sys.modules
    assert 'torch' not in sys.modules
