"""The attributions of VGG-11 against captum's, in float64, on weights that their names reproduce."""

import jax
import numpy as np
import pytest
from golden import GOLDEN, large, recipe, state_dict

from cnn_jax import weights
from cnn_jax.models import vgg
from cnn_jax.visualize import deconvnet, grad_cam, gradient, guided_backprop, occlusion

FILE = GOLDEN / 'attribution_vgg11.npz'
pytestmark = [
    pytest.mark.skipif(not FILE.exists(), reason=f'the stored oracles are not there: {GOLDEN}'),
    pytest.mark.usefixtures('optimised'),  # float64 convolutions of whole nets
]


@pytest.fixture(scope='module')
def net():
    """VGG A with torch's weights, one image, the oracle; all float64."""
    with np.load(GOLDEN / 'vgg11.npz') as file:
        state = state_dict(file)
    large.cache_clear()  # half a gigabyte, which no other test of this process may need
    _, variables = weights.torchvision('vgg11', state)
    with jax.enable_x64(True):
        variables = jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables))
        with np.load(FILE) as file:
            oracle = dict(file)
        yield vgg.VARIANTS['A'](), variables, recipe().images(2)[:1].astype(np.float64), oracle


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
