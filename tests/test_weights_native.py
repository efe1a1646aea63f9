"""Our own files: model and variables come back as they were, from the file alone."""

import json
import struct
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax import weights
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.layers import Dense
from cnn_jax.models import alexnet, googlenet, lenet, resnet, vgg
from cnn_jax.weights.convert import variable_shapes
from cnn_jax.weights.native import build_model, describe_model
from cnn_jax.weights.safetensors_file import write_safetensors

MODELS: list[tuple[Any, tuple[int, int, int]]] = [
    (lenet.LeNet(), (32, 32, 1)),
    (lenet.VARIANTS[next(iter(lenet.VARIANTS))](), (32, 32, 1)),
    (lenet.LeNet1998(), (32, 32, 1)),
    (alexnet.VARIANTS['one_weird_trick'](width=1 / 32, num_classes=3), (64, 64, 3)),
    (alexnet.VARIANTS['zfnet'](width=1 / 32, dtype=jnp.bfloat16), (96, 96, 3)),
    (vgg.VARIANTS['C-BN'](width=1 / 64, num_classes=3, head_size=7), (32, 32, 3)),
    (vgg.VGG(stage_sizes=(1, 2), filters=(8, 16), hidden_units=8, dropout_rate=0.1), (32, 32, 3)),
    (googlenet.VARIANTS['torchvision'](width=1 / 16, aux_heads=False, transform_input=True), (64, 64, 3)),
    (resnet.VARIANTS['resnext50_32x4d'](width=1 / 16, stage_sizes=(1, 1), zero_init_last=True), (32, 32, 3)),
    (resnet.VARIANTS['cifar20'](num_classes=7, remat=True, batch_norm='ghost(8)'), (32, 32, 3)),
]


def random_variables(model, image_shape) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = variable_shapes(model, image_shape)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(leaf.dtype), shapes)


@pytest.mark.parametrize(('model', 'image_shape'), MODELS)
def test_model_and_variables_come_back_as_they_were(tmp_path, model, image_shape):
    path = tmp_path / 'model.safetensors'
    variables = random_variables(model, image_shape)
    weights.save(path, model, variables, image_shape=image_shape, class_names=['cat', 'dog é'])
    loaded, found = weights.load(path)
    assert loaded == model
    assert jax.tree.structure(found) == jax.tree.structure(variables)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(variables), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()
    header = weights.about(path)
    assert header['class_names'] == ['cat', 'dog é']
    assert tuple(header['image_shape']) == image_shape


@pytest.mark.parametrize('family', [alexnet, googlenet, lenet, resnet, vgg])
def test_every_variant_is_described_by_its_name_alone(family):
    for name, make in family.VARIANTS.items():
        header = describe_model(make())
        assert header['options'] == {}
        assert build_model(header) == make(), name


def test_bfloat16_stays_and_float64_stays_under_x64(tmp_path):
    model = lenet.LeNet()
    variables = random_variables(model, (32, 32, 1))
    half = jax.tree.map(lambda leaf: np.asarray(leaf).astype(jnp.bfloat16), variables)
    weights.save(tmp_path / 'half.safetensors', model, half)
    found = weights.load(tmp_path / 'half.safetensors')[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}
    double = jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float64) / 3, variables)
    weights.save(tmp_path / 'double.safetensors', model, double)
    with jax.enable_x64(True):
        found = weights.load(tmp_path / 'double.safetensors')[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float64)}
    assert jax.tree.all(jax.tree.map(np.array_equal, found, double))


def test_a_custom_initializer_is_the_one_thing_not_kept(tmp_path):
    model = resnet.ResNet(depth=18, width=1 / 16, kernel_initializer=nn.initializers.normal(0.3))
    weights.save(tmp_path / 'a.safetensors', model, random_variables(model, (32, 32, 3)))
    assert weights.load(tmp_path / 'a.safetensors')[0] == resnet.ResNet(depth=18, width=1 / 16)


def test_what_cannot_be_saved(tmp_path):
    path, model = tmp_path / 'a.safetensors', lenet.LeNet()
    variables = random_variables(model, (32, 32, 1))
    with pytest.raises(CnnJaxError, match='Dense is not of a family'):
        weights.save(path, Dense(3), {})
    with pytest.raises(CnnJaxError, match=r'is to end in \.safetensors'):
        weights.save(tmp_path / 'a.pth', model, variables)
    with pytest.raises(CnnJaxError, match=r'not those of the model at 64x64x1: .* mis-shaped: params/'):
        weights.save(path, model, variables, image_shape=(64, 64, 1))
    with pytest.raises(CnnJaxError, match='cannot stand in a file'):
        weights.save(path, vgg.VGG(batch_norm=print), {})  # pyright: ignore[reportArgumentType]
    with pytest.raises(StorageError, match='cannot be written'):
        weights.save(tmp_path / 'absent' / 'a.safetensors', model, variables)
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_are_refused(tmp_path):
    model = lenet.LeNet()
    variables = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), random_variables(model, (32, 32, 1)))
    weights.save(tmp_path / 'a.safetensors', model, variables)
    with pytest.raises(CnnJaxError, match='not finite'):
        weights.load(tmp_path / 'a.safetensors')


def header(**changes) -> dict[str, Any]:
    image_shape = [32, 32, 1]
    good = {'format': 1, 'family': 'lenet', 'variant': 'modern', 'options': {}, 'class_names': []}
    variant = describe_model(lenet.LeNet())['variant']
    return {**good, 'variant': variant, 'image_shape': image_shape, **changes}


def saved_with(path, header) -> None:
    variables = random_variables(lenet.LeNet(), (32, 32, 1))
    arrays = {
        '/'.join(key.key for key in keys): np.asarray(leaf) for keys, leaf in jax.tree.leaves_with_path(variables)
    }
    write_safetensors(path, arrays, {'cnn_jax': header if isinstance(header, str) else json.dumps(header)})


def test_the_header_below_is_good(tmp_path):
    saved_with(tmp_path / 'a.safetensors', header())
    assert weights.load(tmp_path / 'a.safetensors')[0] == lenet.LeNet()


@pytest.mark.parametrize(
    ('changed', 'words'),
    [
        ('[' * 100_000, 'a damaged header'),
        ('{}', 'a damaged header'),
        (header(options=[]), 'a damaged header'),
        (header(format=2), 'format 2, and this version reads 1'),
        (header(family='os'), "unknown model family: 'os'"),
        (header(family='../os'), 'unknown model family'),
        (header(variant='__class__'), 'unknown variant of lenet'),
        (header(options={'parent': 1}), 'unknown option of lenet'),
        (header(options={'kernel_initializer': 1}), 'unknown option of lenet'),
        (header(options={'dtype': {'dtype': 'ndarray'}}), 'an option that is no number'),
        (header(options={'num_classes': 7}), 'mis-shaped: params/'),
        (header(options={'num_classes': 10**12}), 'mis-shaped: params/'),
        (header(options={'num_classes': 'ten'}), 'does not hold what its header says'),
        (header(image_shape=[64, 64, 1]), 'mis-shaped: params/'),
        (header(image_shape='a text'), 'does not hold what its header says'),
        (header(family='resnet', variant='cifar20', options={'depth': 6 * 10**9 + 2}), 'layers in 10 arrays'),
        (header(family='resnet', variant='resnet50', options={'stage_sizes': [1, 10**9]}), 'layers in 10 arrays'),
    ],
)
def test_lying_headers_are_refused(tmp_path, changed, words):
    path = tmp_path / 'a.safetensors'
    saved_with(path, changed)
    with pytest.raises(StorageError, match=words):
        weights.load(path)


def test_files_of_other_programs_are_named_as_such(tmp_path):
    write_safetensors(tmp_path / 'a.safetensors', {'conv1.weight': np.zeros(3)}, {'format': 'pt'})
    with pytest.raises(CnnJaxError, match=r'was not written by weights\.save; read it with'):
        weights.load(tmp_path / 'a.safetensors')
    with pytest.raises(CnnJaxError, match='no such file'):
        weights.load(tmp_path / 'b.safetensors')


@pytest.fixture(scope='module')
def good_file(tmp_path_factory) -> bytes:
    path = tmp_path_factory.getbasetemp() / 'good_native.safetensors'
    saved_with(path, header(options={'num_classes': 10, 'pool': 'max'}))
    return path.read_bytes()


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 2**16), data=st.binary(min_size=1, max_size=3), cut=st.integers(0, 3))
def test_mutated_headers_give_a_model_or_one_kind_of_error(tmp_path_factory, good_file, position, data, cut):
    path = tmp_path_factory.getbasetemp() / 'mutated_native.safetensors'
    (length,) = struct.unpack('<Q', good_file[:8])
    at = position % (8 + length)  # beyond the header a mutated number is another number
    mutated = good_file[:at] + data + good_file[at + len(data) :]
    path.write_bytes(mutated[: len(mutated) - cut])
    try:
        model, variables = weights.load(path)
    except CnnJaxError:
        return
    assert isinstance(model, nn.Module)
    assert len(jax.tree.leaves(variables)) == 10
