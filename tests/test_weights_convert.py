"""torchvision's and timm's names, layouts and options. Whole nets against stored outputs: test_weights_golden.py."""

import functools
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from cnn_jax import weights
from cnn_jax.errors import CnnJaxError
from cnn_jax.models.alexnet import AlexNet
from cnn_jax.models.googlenet import GoogLeNet
from cnn_jax.models.lenet import LeNet
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG
from cnn_jax.weights import architectures
from cnn_jax.weights import convert as converting
from cnn_jax.weights.convert import COUNTER, convert, slots
from cnn_jax.weights.parity import Runner

DATA = Path(__file__).parent / 'data'
STATE_SHAPES = json.loads((DATA / 'torch_state_shapes.json').read_text())
NAMES = [
    (library, name)
    for library in STATE_SHAPES
    for name in STATE_SHAPES[library]
    if library == 'torchvision' or name.startswith('vgg')  # timm's ResNets: see below
]


TRACED: dict[Any, dict[str, Any]] = {}


def variable_shapes(model, image_shape=(224, 224, 3)) -> dict[str, Any]:
    """Those of the package; each net is traced once, which takes up to a second."""
    key = repr(model), image_shape
    if key not in TRACED:
        TRACED[key] = converting.variable_shapes(model, image_shape)
    return TRACED[key]


@pytest.fixture(scope='module', autouse=True)
def traced_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, 'variable_shapes', variable_shapes)
        yield


def torch_shapes(model, library: Any = 'torchvision', image_shape=(224, 224, 3)) -> dict[str, tuple[int, ...]]:
    """What a state dict of torch would hold, BatchNorm's counters too."""
    wanted = slots(model, variable_shapes(model, image_shape), library)
    shapes = {name: slot.theirs for name, slot in wanted.items()}
    counters = {f'{name.rpartition(".")[0]}.{COUNTER}': () for name, slot in wanted.items() if slot.path[-1] == 'mean'}
    return shapes | counters


@functools.cache
def shapes_of(architecture: str) -> dict[str, tuple[int, ...]]:
    return torch_shapes(architectures.ARCHITECTURES[architecture]())


def zeros(shapes) -> dict[str, np.ndarray]:
    """Arrays that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(('library', 'name'), NAMES)
def test_names_and_shapes_are_those_of_the_library(library, name):
    make = architectures.ARCHITECTURES[name]
    model = make(head_size=7) if name.startswith('vgg') else make()
    shapes = torch_shapes(model, library)
    digest = hashlib.sha256(json.dumps(sorted((key, list(shape)) for key, shape in shapes.items())).encode())
    expected = STATE_SHAPES[library][name]
    assert len(shapes) == expected['arrays']
    assert digest.hexdigest()[:16] == expected['digest']


def test_timms_resnets_have_torchvisions_names():
    names = [name for name in STATE_SHAPES['timm'] if not name.startswith('vgg')]
    assert names == [name for name in STATE_SHAPES['torchvision'] if name.startswith(('res', 'wide'))]
    for name in names:
        assert STATE_SHAPES['timm'][name] == STATE_SHAPES['torchvision'][name]


@pytest.mark.parametrize('name', ['resnet34', 'resnext50_32x4d', 'wide_resnet50_2'])
def test_scores_are_torchvisions(name):
    model = architectures.ARCHITECTURES[name]()
    state = {key: stored_weight(key, shape) for key, shape in torch_shapes(model).items()}
    model, variables = weights.torchvision(name, state)
    images = np.random.Generator(np.random.PCG64(7)).standard_normal((2, 64, 64, 3)).astype(np.float32)
    with jax.default_matmul_precision('highest'):
        scores = jax.jit(lambda variables, images: model.apply(variables, images, train=False))(variables, images)
    with np.load(DATA / 'torch_logits.npz') as stored:
        reference = stored[name]
    difference = np.abs(np.asarray(scores)[:, :100] - reference).max() / np.abs(reference).max()
    assert difference < 2e-5


def stored_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """`golden_weight` of data/make_torch_files.py, which only imports where torch is."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    leaf = name.rpartition('.')[2]
    if leaf == COUNTER:
        return np.zeros(shape, np.int64)
    if leaf == 'running_var':
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) == 1:
        values = rng.uniform(0.5, 1.0, shape) if leaf == 'weight' else 0.1 * rng.standard_normal(shape)
        return values.astype(np.float32)
    return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def small_vgg(**options) -> VGG:
    return VGG(stage_sizes=(1, 1, 1, 1, 1), width=1 / 64, num_classes=5, head_size=2, **options)


def numbered(shapes) -> dict[str, np.ndarray]:
    """Arrays in which every number is another."""
    return {name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) for name, shape in shapes.items()}


def test_fc6_is_permuted_to_channels_last():
    model = small_vgg()
    like = variable_shapes(model, (64, 64, 3))
    arrays = numbered(torch_shapes(model, image_shape=(64, 64, 3)))
    kernel = convert(arrays, slots(model, like, 'torchvision'), what='it')['params']['fc6']['kernel']
    theirs = arrays['classifier.0.weight']  # (out, channels * height * width)
    channels, out = 8, theirs.shape[0]
    for row, column, channel in ((0, 0, 0), (1, 0, 3), (0, 1, 7)):
        ours = kernel[(row * 2 + column) * channels + channel]
        np.testing.assert_array_equal(ours, theirs[:, (channel * 2 + row) * 2 + column])
    assert kernel.shape == (2 * 2 * channels, out)


@pytest.mark.parametrize('batch_norm', [None, 'global'])
def test_timms_convolutions_are_the_same_dense_layers(batch_norm):
    model = small_vgg(batch_norm=batch_norm)
    like = variable_shapes(model, (64, 64, 3))
    arrays = numbered(torch_shapes(model, image_shape=(64, 64, 3)))
    renamed = {'classifier.0': 'pre_logits.fc1', 'classifier.3': 'pre_logits.fc2', 'classifier.6': 'head.fc'}
    theirs = {}
    for name, array in arrays.items():
        module, _, leaf = name.rpartition('.')
        theirs[f'{renamed.get(module, module)}.{leaf}'] = array
    theirs['pre_logits.fc1.weight'] = theirs['pre_logits.fc1.weight'].reshape(-1, 8, 2, 2)
    theirs['pre_logits.fc2.weight'] = theirs['pre_logits.fc2.weight'][:, :, None, None]
    assert architectures.library_of(theirs) == 'timm'
    one = convert(arrays, slots(model, like, 'torchvision'), what='it')
    other = convert(theirs, slots(model, like, 'timm'), what='it')
    assert jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_what_does_not_fit_is_listed():
    state = zeros(shapes_of('resnet18'))
    del state['layer1.0.conv1.weight'], state['bn1.running_var']
    state |= {'layer5.0.conv1.weight': np.zeros(3), 'conv1.weight': np.zeros((64, 3, 7, 8), np.float32)}
    with pytest.raises(CnnJaxError) as caught:
        weights.torchvision('resnet18', state)
    text = str(caught.value)
    assert '2 missing: ' in text
    assert 'layer1.0.conv1.weight' in text
    assert 'bn1.running_var' in text
    assert '1 unexpected: layer5.0.conv1.weight' in text
    assert '1 mis-shaped: conv1.weight (64, 3, 7, 8), should be (64, 3, 7, 7)' in text


def test_a_file_of_another_architecture_is_refused_with_a_short_list():
    state = zeros(shapes_of('alexnet'))
    with pytest.raises(CnnJaxError, match=r'102 missing: .* and 99 more; 16 unexpected: .* and 13 more'):
        weights.torchvision('resnet18', state)


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('fc.bias', np.full(1000, np.nan, np.float32), 'not finite'),
        ('fc.bias', np.full(1000, np.inf, np.float16), 'not finite'),
        ('fc.bias', np.zeros(1000, np.int32), 'int32'),
        ('fc.bias', np.array([None] * 1000), 'not an array of numbers'),
        ('fc.bias', [[1.0], [1.0, 2.0]], 'not an array'),
    ],
)
def test_arrays_hold_finite_floating_point_numbers(name, value, words):
    state = zeros(shapes_of('resnet18'))
    with pytest.raises(CnnJaxError, match=words):
        weights.torchvision('resnet18', {**state, name: value})


def test_counters_may_be_absent_and_names_may_have_torchs_parallel_prefix():
    state = zeros(shapes_of('resnet18'))
    state = {f'module.{name}': array for name, array in state.items() if not name.endswith(COUNTER)}
    _, variables = weights.torchvision('resnet18', state)
    assert len(jax.tree.leaves(variables)) == len(state)


def test_the_number_of_classes_is_the_sources():
    state = zeros(torch_shapes(architectures.ARCHITECTURES['resnet18'](num_classes=7)))
    model, variables = weights.torchvision('resnet18', state)
    assert model == ResNet(depth=18, num_classes=7)
    assert variables['params']['fc']['kernel'].shape == (512, 7)


def test_unknown_names_get_the_closest():
    with pytest.raises(CnnJaxError, match=r"unknown torchvision architecture: 'resnet51'; choose from: resnet50"):
        weights.torchvision('resnet51', {})
    with pytest.raises(CnnJaxError, match='unknown timm architecture'):
        weights.timm('googlenet.tv_in1k', {})
    with pytest.raises(CnnJaxError, match='options of googlenet'):
        weights.torchvision('resnet18', {}, transform_input=True)


def test_timms_names_have_tags(tmp_path):
    state = zeros(shapes_of('resnet18'))
    path = tmp_path / 'model.safetensors'
    safetensors.numpy.save_file({name: np.array(array) for name, array in state.items()}, path)
    for name in ('resnet18.a1_in1k', 'timm/resnet18.tv_in1k', 'resnet18'):
        assert weights.timm(name, path)[0] == ResNet(depth=18)


def test_half_precision_becomes_float32():
    state = zeros(shapes_of('resnet18'))
    state['fc.bias'] = np.full(1000, 0.1, jnp.bfloat16)
    state['bn1.bias'] = np.full(64, 0.1, np.float16)
    _, variables = weights.torchvision('resnet18', state)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    assert variables['params']['conv1']['norm']['bias'][0] == np.float32(np.float16(0.1))


def test_changing_the_source_afterwards_changes_nothing():
    state = zeros(shapes_of('resnet18'))
    state['fc.bias'] = np.zeros(1000, np.float32)
    _, variables = weights.torchvision('resnet18', state)
    state['fc.bias'][:] = 1
    assert not variables['params']['fc']['bias'].any()


def googlenet_state():
    return zeros(shapes_of('googlenet'))


def load_googlenet(source, **options) -> tuple[GoogLeNet, set[str]]:
    """The model and the names of its layers."""
    model, variables = weights.torchvision('googlenet', source, **options)
    assert isinstance(model, GoogLeNet)
    return model, set(variables['params'])


def test_googlenets_auxiliary_heads_are_loaded_where_the_source_has_them():
    state = googlenet_state()
    model, layers = load_googlenet(state)
    assert model.aux_heads
    assert {'aux1', 'aux2'} <= layers
    assert not model.transform_input
    trunk = {name: array for name, array in state.items() if not name.startswith('aux')}
    for source, options in ((trunk, {}), (state, {'aux_heads': False})):
        model, layers = load_googlenet(source, **options)
        assert not model.aux_heads
        assert not {'aux1', 'aux2'} & layers
    with pytest.raises(CnnJaxError, match='missing: aux1'):
        load_googlenet(trunk, aux_heads=True)


def test_half_an_auxiliary_head_is_an_error():
    state = googlenet_state()
    del state['aux2.fc1.weight']
    with pytest.raises(CnnJaxError, match=r'1 missing: aux2\.fc1\.weight'):
        load_googlenet(state)


def test_the_released_googlenet_brings_its_input_transform(tmp_path, monkeypatch):
    path = tmp_path / 'googlenet.safetensors'
    safetensors.numpy.save_file({name: np.array(array) for name, array in googlenet_state().items()}, path)
    assert not load_googlenet(path)[0].transform_input
    assert load_googlenet(path, transform_input=True)[0].transform_input
    monkeypatch.setattr(architectures, 'GOOGLENET_RELEASE', hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    assert load_googlenet(path)[0].transform_input
    assert not load_googlenet(path, transform_input=False)[0].transform_input


def test_the_input_transform_is_inceptions_standardisation():
    pixels = np.random.default_rng(0).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    standardised = (pixels - mean.reshape(1, 1, 1, 3)) / std.reshape(1, 1, 1, 3)
    model = GoogLeNet(width=1 / 16, num_classes=2, aux_heads=False)
    shapes = variable_shapes(model, (64, 64, 3))
    variables = jax.tree.map(lambda leaf: np.linspace(-1, 1, leaf.size, dtype=np.float32).reshape(leaf.shape), shapes)
    conv1 = []
    for transform, images in ((True, standardised), (False, (pixels - 0.5) / 0.5)):
        runner = Runner(model.clone(transform_input=transform), jnp.asarray(images))
        conv1.append(runner.run(variables, frozenset(['conv1']), {})['conv1'])
    np.testing.assert_allclose(*conv1, rtol=1e-4, atol=1e-5)
    assert conv1[0].max() > 1


@pytest.mark.parametrize(
    ('model', 'words'),
    [
        (LeNet(), 'LeNet has no counterpart'),
        (ResNet(depth=18, preactivation=True), 'preactivation=True has no counterpart'),
        (ResNet(depth=20, layout='cifar', shortcut='A'), "layout='cifar' has no counterpart"),
        (GoogLeNet(), 'of this form has no counterpart'),
    ],
)
def test_forms_that_the_libraries_lack_are_named(model, words):
    with pytest.raises(CnnJaxError, match=words):
        slots(model, variable_shapes(model, (96, 96, 3)), 'torchvision')


def test_alexnets_of_another_form_do_not_fit():
    state = zeros(shapes_of('alexnet'))
    model = AlexNet()
    with pytest.raises(CnnJaxError, match='mis-shaped'):
        convert(state, slots(model, variable_shapes(model, (227, 227, 3)), 'torchvision'), what='it')


def test_fc6_on_maps_that_are_not_square_is_refused():
    model = small_vgg().clone(head_size=None)
    with pytest.raises(CnnJaxError, match='96 inputs are no square maps of 8; use square images'):
        slots(model, variable_shapes(model, (96, 128, 3)), 'torchvision')
