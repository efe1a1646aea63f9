"""The attributions of VGG-11 against captum's, in float64, on weights that their names reproduce."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from cnn_jax.models import vgg
from cnn_jax.visualize import deconvnet, grad_cam, gradient, guided_backprop, occlusion

GOLDEN = Path(__file__).parents[2] / 'shared' / 'golden'
FILE = GOLDEN / 'attribution_vgg11.npz'
pytestmark = [
    pytest.mark.skipif(not FILE.exists(), reason=f'the stored oracles are not there: {GOLDEN}'),
    pytest.mark.usefixtures('optimised'),  # float64 convolutions of whole nets
]

CONVOLUTIONS = {'conv1_1': 0, 'conv2_1': 3, 'conv3_1': 6, 'conv3_2': 8, 'conv4_1': 11, 'conv4_2': 13}
CONVOLUTIONS |= {'conv5_1': 16, 'conv5_2': 18}
DENSE = {'fc6': 0, 'fc7': 3, 'fc8': 6}


@pytest.fixture(scope='module')
def net():
    """VGG A with torch's weights, one image, the oracle; all float64."""
    spec = importlib.util.spec_from_file_location('golden_weights', GOLDEN / 'weights.py')
    assert spec is not None
    assert spec.loader is not None
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    with np.load(GOLDEN / 'vgg11.npz') as file:
        state = weights.state_dict(file)
    params = {}
    for name, number in CONVOLUTIONS.items():
        kernel = state[f'features.{number}.weight'].transpose(2, 3, 1, 0)  # OIHW to HWIO
        params[name] = {'kernel': kernel, 'bias': state[f'features.{number}.bias']}
    for name, number in DENSE.items():
        params[name] = {'kernel': state[f'classifier.{number}.weight'].T, 'bias': state[f'classifier.{number}.bias']}
    # Torch flattens channels before rows before columns, we flatten channels last.
    kernel = params['fc6']['kernel'].reshape(512, 7, 7, -1).transpose(1, 2, 0, 3)
    params['fc6']['kernel'] = kernel.reshape(512 * 7 * 7, -1)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, np.float64), params)
        with np.load(FILE) as file:
            oracle = dict(file)
        yield vgg.VARIANTS['A'](), {'params': params}, weights.images(2)[:1].astype(np.float64), oracle


def check(name, found, expected):
    assert found.dtype == np.float64
    np.testing.assert_allclose(np.asarray(found[0]), expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=name)


def test_maps_of_vgg11(net):
    """One test for all, because the net takes a gigabyte and the processes of a parallel run would each build it."""
    model, variables, images, oracle = net
    assert guided_backprop.count_relus(model, variables, images) == 10
    assert guided_backprop.count_relus(model, variables, images, layer='conv3_1') == 3
    for name, method in {'gradient': gradient, 'guided_backprop': guided_backprop, 'deconvnet': deconvnet}.items():
        check(name, method.attribute(model, variables, images), oracle[name])
    maps = grad_cam.attribute(model, variables, images, layer='conv5_2', upsample=False)
    check('grad_cam', maps, oracle['grad_cam'])
    target = oracle['target'].reshape(1)
    drops = occlusion.attribute(model, variables, images, target, window=56, stride=28, chunk=7)
    check('occlusion', drops, oracle['occlusion_drop'])
