"""The Hugging Face hub, played by a module that has one function of it."""

import json
import sys
import types

import jax
import numpy as np
import pytest
import safetensors.numpy

from cnn_jax import weights
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.models.lenet import LeNet
from cnn_jax.models.resnet import ResNet
from cnn_jax.weights.convert import slots, variable_shapes


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A folder whose files the hub has, whatever the repository."""

    def hf_hub_download(repo_id, filename, *, revision=None):
        if not (tmp_path / filename).exists():
            raise ConnectionError(f'cannot reach\nthe hub for {repo_id} at {revision}')
        return str(tmp_path / filename)

    module = types.ModuleType('huggingface_hub')
    vars(module)['hf_hub_download'] = hf_hub_download
    monkeypatch.setitem(sys.modules, 'huggingface_hub', module)
    return tmp_path


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(CnnJaxError, match='pip install huggingface_hub'):
        weights.hub('timm/resnet50.a1_in1k')


def test_without_a_network_the_error_is_one_line(repo):
    with pytest.raises(CnnJaxError, match=r'no model\.safetensors: cannot reach the hub for a/b at v2; check the name'):
        weights.hub('a/b', revision='v2')


def test_our_files_say_what_they_are(repo):
    model = LeNet(num_classes=3)
    shapes = variable_shapes(model, (32, 32, 1))
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    weights.save(repo / 'model.safetensors', model, variables)
    found, values = weights.hub('me/lenet')
    assert found == model
    assert jax.tree.all(jax.tree.map(np.array_equal, values, variables))


def test_timms_files_have_the_architecture_beside_them(repo):
    wanted = slots(ResNet(depth=18), variable_shapes(ResNet(depth=18)), 'timm')
    arrays = {name: np.zeros(slot.theirs, np.float32) for name, slot in wanted.items()}
    safetensors.numpy.save_file(arrays, repo / 'model.safetensors')
    with pytest.raises(CnnJaxError, match=r'no config\.json'):
        weights.hub('timm/resnet18.a1_in1k')
    config = repo / 'config.json'
    config.write_text(json.dumps({'architecture': 'resnet18'}))
    assert weights.hub('timm/resnet18.a1_in1k')[0] == ResNet(depth=18)
    config.write_text(json.dumps({'architecture': 'vit_base'}))
    with pytest.raises(CnnJaxError, match="unknown timm architecture: 'vit_base'"):
        weights.hub('timm/vit')
    for text in ('', '[]', '{}', '{"architecture": 3}', '[' * 100_000):
        config.write_text(text)
        with pytest.raises(StorageError, match='names no architecture'):
            weights.hub('timm/resnet18.a1_in1k')
