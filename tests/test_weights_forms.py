"""timm's later forms of ResNet and Inception v3: names, shapes and scores against stored ones of timm."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from test_weights_convert import stored_weight, torch_shapes, zeros

from cnn_jax import weights
from cnn_jax.errors import CnnJaxError
from cnn_jax.models.inception import InceptionV3
from cnn_jax.weights import architectures
from cnn_jax.weights.convert import convert, flatten, slots, variable_shapes

DATA = Path(__file__).parent / 'data'
STORED = json.loads((DATA / 'timm_forms.json').read_text(encoding='utf-8'))
SIZE = 97
SIDE = {True: 299, False: 64}  # of Inception; the others have the same shapes at any size


def library_of(name: str) -> Any:
    return 'timm' if name.startswith('resnetv2') else 'torchvision'


@pytest.mark.parametrize('name', STORED['state'])
def test_names_and_shapes_are_the_librarys(name):
    library, _, arch = name.partition('/')
    options = {'aux_head': True} if library == 'torchvision' else {}
    model, side = architectures.ARCHITECTURES[arch](**options), SIDE[arch == 'inception_v3']
    shapes = torch_shapes(model, library_of(arch), (side, side, 3))
    digest = hashlib.sha256(json.dumps(sorted((key, list(shape)) for key, shape in shapes.items())).encode())
    assert len(shapes) == STORED['state'][name]['arrays']
    assert digest.hexdigest()[:16] == STORED['state'][name]['digest']


@pytest.mark.parametrize('name', STORED['logits'])
def test_scores_are_timms(name):
    """On small forms, of images with odd sides; float32 here, float64 there."""
    model = architectures.ARCHITECTURES[name]()
    model = model if name == 'inception_v3' else model.clone(stage_sizes=(1, 2, 1, 1))
    shape = (SIZE, SIZE, 3)
    wanted = slots(model, variable_shapes(model, shape), library_of(name))
    state = {key: stored_weight(key, slot.theirs) for key, slot in wanted.items()}
    variables = convert(state, wanted, what='it')
    images = np.random.Generator(np.random.PCG64(7)).standard_normal((1, *shape)).astype(np.float32)
    with jax.default_matmul_precision('highest'):
        scores = jax.jit(lambda variables, images: model.apply(variables, images, train=False))(variables, images)
    reference = np.array(STORED['logits'][name])
    assert np.abs(np.asarray(scores)[0, : len(reference)] - reference).max() / np.abs(reference).max() < 2e-5


def test_timms_names_lead_to_these_forms():
    for name, number in (('resnetv2_18.ra4_e3600_r224_in1k', 11_687_720), ('seresnet18.x', 11_779_624)):
        arch = name.partition('.')[0]
        state = zeros(torch_shapes(architectures.ARCHITECTURES[arch](num_classes=1000), library_of(arch)))
        _, variables = weights.timm(name, {f'module.{key}': array for key, array in state.items()})
        assert sum(leaf.size for leaf in jax.tree.leaves(variables['params'])) == number
    with pytest.raises(CnnJaxError, match="unknown torchvision architecture: 'resnet50d'"):
        weights.torchvision('resnet50d', {})


def test_inceptions_auxiliary_head_may_stay_behind():
    shape = (299, 299, 3)
    with_head, without = (InceptionV3(width=1 / 16, num_classes=5, aux_head=aux) for aux in (True, False))
    state = zeros(torch_shapes(with_head, 'torchvision', shape))
    like = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), variable_shapes(without, shape))
    lines: list[str] = []
    found = weights.variables_for(without, state, like, report=lines.append)
    assert lines == []
    assert not any(np.any(leaf) for leaf in flatten(found).values())
    both = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), variable_shapes(with_head, shape))
    trunk = {name: array for name, array in state.items() if not name.startswith('AuxLogits')}
    found = weights.variables_for(with_head, trunk, both, report=lines.append)
    assert lines == ['aux_conv0, aux_conv1, aux_fc: not in the dict of weights; starting anew']


def test_inceptions_auxiliary_head_needs_large_images():
    model = InceptionV3(width=1 / 16, num_classes=5, aux_head=True)
    with pytest.raises(ValueError, match=r'its auxiliary head needs 17x17 .* use larger images, or aux_head=False'):
        variable_shapes(model, (96, 96, 3))
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
    images = jax.ShapeDtypeStruct((2, 299, 299, 3), np.float32)
    (logits, aux), _ = jax.eval_shape(lambda images: model.init_with_output(keys, images, train=True), images)
    assert logits.shape == aux.shape == (2, 5)
