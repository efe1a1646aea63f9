"""What is made for each unit of the page: optimised images."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_report_microscope import COUNT, Rows, look, make_run, preprocess

from cnn_jax import describe
from cnn_jax.errors import DataError
from cnn_jax.models.lenet import LeNet
from cnn_jax.report.microscope import activity, guided, made, maps, optimised, scripts, targets, training, units
from cnn_jax.report.microscope.settings import DEFAULTS
from cnn_jax.training import shown
from cnn_jax.visualize import units as method
from cnn_jax.visualize.engine.examples import Examples


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp('made'))


def test_made_images_excite_their_units(run, monkeypatch):
    monkeypatch.setattr(optimised, 'STEPS', 8)
    found = made.optimised(run, look().examples, ['conv1'], 3)['conv1']
    want = method.visualize(
        run.model, run.variables, training=look().examples, layer='conv1', most=3, preset=optimised.PRESET, steps=8,
        negative=True, diverse=2,
    )  # fmt: skip
    assert found['kinds'] == ['optimised', 'another, 2', 'negative']
    np.testing.assert_array_equal(scripts.unpack(found['images']), np.round(255 * want['images']))
    np.testing.assert_allclose(found['activations'], want['activations'], rtol=1e-3)
    for unit in (0, 2):  # the other one is dead
        excited, another, off = (one[unit] for one in found['activations'])
        assert min(excited, another) > off
    assert 'zero gradient' in found['notes'][0][1]
    assert found['settings'] == 'preset robust, 8 steps, seed 0'


def test_images_of_several_layers_at_once_are_those_of_each_alone(run, monkeypatch):
    monkeypatch.setattr(optimised, 'STEPS', 8)
    together = made.optimised(run, look().examples, ['conv1', 'conv3', 'fc4'], 3)
    for layer, found in together.items():
        alone = method.visualize(
            run.model, run.variables, training=look().examples, layer=layer, most=3, preset=optimised.PRESET, steps=8,
            negative=True, diverse=2,
        )  # fmt: skip
        notes = np.concatenate([np.array(found['notes']), alone['notes']])  # (kinds of both, units)
        moved = [unit for unit in range(3) if not any(notes[:, unit])]
        assert len(moved) >= 2  # of others nothing can be compared: alone, a dead unit is rescued where ReLUs can be
        images = scripts.unpack(found['images']).astype(int)[:, moved]
        assert np.abs(images - np.round(255 * alone['images'][:, moved])).max() <= 1  # rounding of other programs


def test_a_net_whose_inputs_are_no_pixels_says_why_it_has_none(run):
    wild = Examples(Rows(), lambda images: np.sin(preprocess(images) * 40), batch_size=8)
    assert 'cannot be undone' in made.optimised(run, wild, ['conv1'], 1)['conv1']['left_out']


def test_without_training_images_none_are_made():
    def source(split):
        if split == 'train':
            raise DataError('not there')
        return Rows()

    experiment: Any = SimpleNamespace(
        preprocess=lambda keys, batch: batch, task=SimpleNamespace(group=None, draws=False)
    )
    feed: Any = SimpleNamespace(source=source)
    of = {'step': 1, 'workdir': Path('nowhere'), 'costly': True, 'variables': {}, 'results': {}}
    found = shown.look_of(experiment, feed, 'test', **of)
    assert found.training is None
    assert len(found.examples.source) == COUNT


def test_how_many_images_a_net_affords(run, monkeypatch):
    table = [
        layer for layer in describe.layer_table(run.model, run.input_shape, variables=run.variables) if layer.depth
    ]
    assert made.num_optimised(run, table, 32) == 32
    monkeypatch.setattr(made, 'MOST_BYTES', 9 * made.KINDS * 12 * 12)
    assert made.num_optimised(run, table, 32) == 2  # of layers with 4, 4, 5 and 3 units; three of each would be 12
    monkeypatch.setattr(made, 'MOST_MACS', 1.0)
    assert made.num_optimised(run, table, 32) == 0


def test_what_is_made_is_named_by_its_layer(run, monkeypatch):
    monkeypatch.setattr(made, 'optimised', lambda run, training, layers, most, told: dict.fromkeys(layers, most))
    monkeypatch.setattr(
        made, 'guided', lambda run, examples, seen, table, tops: {name: {'guided': []} for name in tops}
    )
    table = describe.layer_table(run.model, run.input_shape, variables=run.variables)
    table = [dataclasses.replace(layer) if dataclasses.is_dataclass(layer) else layer for layer in table if layer.depth]
    names = [layer.name for layer in table]
    seen = activity.watch(run.model, run.variables, look().examples, names)
    tops = dict.fromkeys(names, units.no_patches())
    with_training = look()._replace(training=look().examples)
    found = made.made(run, with_training, seen, table, tops, lambda words: None)
    assert [name for name in names if 'optimised' in found[name]] == ['conv1', 'conv3', 'fc4']  # a pool learns nothing
    assert found['conv3']['optimised'] == 32
    assert all('optimised' not in one for one in made.made(run, look(), seen, table, tops, print).values())


def test_the_page_of_lenet_keeps_within_five_megabytes(run):
    """What grows with the constants, in bytes as text; all else was 2.0 MB when it was measured."""
    model = LeNet()
    table = [one for one in describe.layer_table(model, (32, 32, 1)) if one.depth == 1]
    units_of = [one.output_shape[-1] for one in table]
    fields = [min(32, int(field)) ** 2 if (field := describe.field_cells(one)[0]).isdigit() else 32**2 for one in table]
    of_patches = sum(count * field for count, field in zip(units_of, fields, strict=True)) * guided.NUM_GUIDED
    images = sum(min(DEFAULTS.made, one.output_shape[-1]) for one in table if one.parameters) * made.KINDS * 32 * 32
    counted = DEFAULTS.maps * targets.MOST_TARGETS * 2 * (len(maps.METHODS) + 1) * maps.MOST_SIDE**2
    assert (of_patches + images + counted + training.MAP_BYTES) * 4 / 3 < 3_000_000
