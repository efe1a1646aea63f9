"""What units use of their patches: the pictures of the method, by one program for the layers of a small net."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_report_microscope import look, make_run

from cnn_jax import describe
from cnn_jax.layers import Conv2D, MaxPool
from cnn_jax.report.microscope import activity, guided, scripts, units
from cnn_jax.tracing import scores
from cnn_jax.visualize import top_patches


class AllReLUs(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        x = Conv2D(3, 3, activation=nn.relu, name='conv1')(images)
        x = MaxPool(2, name='pool2')(x)
        x = Conv2D(4, 3, strides=2, activation=nn.relu, name='conv3')(x)
        x = nn.Dense(6, name='fc4')(x.reshape(len(x), -1))
        return nn.Dense(3, name='fc5')(nn.relu(x))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp('guided'))


@pytest.fixture(scope='module')
def of_relus(tmp_path_factory):
    model = AllReLUs()
    variables = jax.device_get(model.init(jax.random.key(1), jnp.zeros((1, 12, 12, 1)), train=False))
    return make_run(tmp_path_factory.mktemp('relus'), model=model, variables=variables)


def pictures(run, chosen=None):
    """What `guided` gives, with the table, the activity and the patches."""
    table = [
        layer
        for layer in describe.layer_table(run.model, run.input_shape, variables=run.variables)
        if layer.depth == 1 and chosen in (None, layer.name)
    ]
    seen = activity.watch(run.model, run.variables, look().examples, [layer.name for layer in table])
    tops = {
        layer.name: units.top_patches(run.model, run.variables, run.input_shape, layer.name, seen.layers[layer.name])
        for layer in table
    }
    return guided.guided(run, look().examples, seen, table, tops), seen, tops, table


def test_guided_pictures_are_those_of_the_method(run):
    found = pictures(run)[0]['conv1']['guided']
    want = top_patches.visualize(
        run.model, run.variables, examples=look().examples, layer='conv1', num_patches=units.NUM_PATCHES
    )['guided'].sum(-1)
    assert len(found) == 4
    for unit, packed in enumerate(found):
        assert packed['shape'] == [guided.NUM_GUIDED, 3, 3]
        step = packed['limit'] / (254 if packed['signed'] else 510)
        np.testing.assert_allclose(scripts.unpack(packed), want[unit, : guided.NUM_GUIDED], atol=1.001 * step + 1e-7)


def test_all_layers_share_a_program_whose_pictures_are_those_of_each_alone(of_relus):
    program: Any = scores._gradients_among
    before = program._cache_size()
    found, seen, tops, table = pictures(of_relus)
    assert program._cache_size() == before + 1
    assert [layer.name for layer in table] == list(found) == ['conv1', 'pool2', 'conv3', 'fc4', 'fc5']
    examples = look().examples
    for name, made in found.items():
        top, places = tops[name], seen.layers[name].places
        for unit, packed in enumerate(made['guided']):
            images = top.images[: guided.NUM_GUIDED, unit]
            inputs = examples.preprocess(examples.source.images[images])
            targets = np.concatenate([places[images, unit], np.full((len(images), 1), unit)], 1)
            targets = targets[:, 2] if name.startswith('fc') else targets
            whole = scores.gradients(of_relus.model, of_relus.variables, inputs, targets, layer=name, rule='guided')[
                0
            ].sum(-1)
            for number, (picture, box) in enumerate(zip(np.asarray(whole), top.boxes[:, unit], strict=False)):
                t, left, bottom, right = box
                want = picture[t:bottom, left:right]
                got = scripts.unpack(packed)[number, : bottom - t, : right - left]
                np.testing.assert_allclose(got, want, atol=packed['limit'] / 250 + 1e-7)


def test_a_layer_above_other_nonlinearities_says_why_it_has_none(run):
    found = pictures(run)[0]
    assert found['conv3']['guided_left_out'].startswith('tanh lies between')
    assert found['fc4']['guided_left_out'].startswith('tanh lies between')


def test_a_layer_whose_patches_are_not_known_says_so(run):
    _, seen, tops, table = pictures(run, 'conv1')
    found = guided.guided(run, look().examples, seen, table, dict.fromkeys(tops, units.no_patches()))
    assert 'not known' in found['conv1']['guided_left_out']


def test_a_large_net_is_run_little_further_than_a_layer_needs(of_relus):
    """Of a net of 20 equal layers: few programs, and none runs more than twice what its first layer needs."""
    layer = describe.layer_table(of_relus.model, of_relus.input_shape, variables=of_relus.variables)[1]
    table = [dataclasses.replace(layer, name=f'{number}', macs=10**8) for number in range(20)]
    groups = guided.together(table, {one.name: None for one in table if one.name != '7'})
    assert [name for group in groups for name in group] == [one.name for one in table if one.name != '7']
    assert len(groups) == 4  # up to layers 1, 5, 13 and 19
    for group in groups:
        assert int(group[-1]) + 1 <= guided.DEEPER * (int(group[0]) + 1)
    small = [dataclasses.replace(one, macs=10**6) for one in table]
    assert len(guided.together(small, {one.name: None for one in small})) == 1
