"""The attributions of VGG-11 against captum's, in float64, on weights that their names reproduce."""

import jax
import numpy as np
import pytest
from golden import GOLDEN, large, recipe, state_dict

from cnn_jax.models import vgg
from cnn_jax.visualize import deconvnet, grad_cam, gradient, guided_backprop, occlusion

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
    with np.load(GOLDEN / 'vgg11.npz') as file:
        state = state_dict(file)
    large.cache_clear()  # half a gigabyte, which no other test of this process may need
    params = {}
    for name, number in CONVOLUTIONS.items():
        kernel = state[f'features.{number}.weight'].transpose(2, 3, 1, 0)  # OIHW to HWIO
        params[name] = {'kernel': kernel, 'bias': state[f'features.{number}.bias']}
    for name, number in DENSE.items():
        params[name] = {'kernel': state[f'classifier.{number}.weight'].T, 'bias': state[f'classifier.{number}.bias']}
    # Torch flattens channels before rows before columns, we flatten channels last.
    params['fc6']['kernel'] = state['classifier.0.weight'].reshape(-1, 512, 7, 7).transpose(2, 3, 1, 0)
    params = jax.tree.map(lambda leaf: np.array(leaf, np.float64, order='C'), params)  # one copy: it is a gigabyte
    params['fc6']['kernel'] = params['fc6']['kernel'].reshape(512 * 7 * 7, -1)
    with jax.enable_x64(True):
        params = jax.device_put(params)
        with np.load(FILE) as file:
            oracle = dict(file)
        yield vgg.VARIANTS['A'](), {'params': params}, recipe().images(2)[:1].astype(np.float64), oracle


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
    drops = occlusion.attribute(model, variables, images, target, window=56, stride=28, chunk=10)
    check('occlusion', drops, oracle['occlusion_drop'])
