"""The contract of every net with a trunk, found by globbing; and trunks that other weights start."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_models import MODULES, TRUNKED, random_variables
from test_weights_start import as_torch, values

from cnn_jax import weights
from cnn_jax.errors import CnnJaxError
from cnn_jax.layers import BatchNorm, Conv2D, Dense
from cnn_jax.models.localizer import Localizer
from cnn_jax.models.resnet import DEPTHS, ResNet
from cnn_jax.models.vgg import VGG
from cnn_jax.tracing.record import record
from cnn_jax.weights.convert import variable_shapes

SHAPE = (64, 64, 3)
RESNET = ResNet(depth=18, width=1 / 16, stage_sizes=(1, 1, 1), num_classes=5)
NARROW = {
    'units': 8,
    'embedding': 8,
    'num_words': 7,
    'length': 4,
    'filters': 8,
    'hidden': 8,
    'hidden_units': 8,
    'tower': 1,
    'finest': 1,
}
VGG_SMALL = VGG(stage_sizes=(1, 1, 1), width=1 / 16, num_classes=5)


def small(trunk):
    """The trunk of a variant, narrow and shallow: two maps, so that a pyramid goes up once."""
    if isinstance(trunk, VGG):
        return VGG_SMALL.clone(maps=True, stage_sizes=(1, 1))
    if trunk.layout == 'cifar':
        return trunk.clone(width=1 / 16, stage_sizes=(1, 1))
    return trunk.clone(width=1 / 16, stage_sizes=(1, 1), depth=50 if DEPTHS[trunk.depth][1] else 18)


def tiny_nets() -> list[Any]:
    """Every variant made small, each different one once."""
    found = {}
    for family in TRUNKED:
        for name, make in MODULES[family].VARIANTS.items():
            model: Any = make()
            narrow = {field: size for field, size in NARROW.items() if getattr(model, field, 0)}
            model = model.clone(trunk=small(model.trunk), **narrow)
            found.setdefault(repr(model), pytest.param(model, id=f'{family}-{name}'))
    return list(found.values())


def asked(model) -> tuple[Any, ...]:
    """What a net takes behind two images of `SHAPE`: a question with two choices, or nothing."""
    if not hasattr(model, 'boxes'):
        return ()
    words = jnp.array([[[1, 2, 3, 0]], [[4, 5, 6, 0]]])
    boxes = jnp.array([[[[0, 0, 40, 40], [20, 20, 60, 60]]]] * 2, jnp.float32)
    return words, boxes if model.boxes else jnp.stack([words, words[::-1]], 2)


@pytest.mark.parametrize('model', tiny_nets())
def test_one_step_reaches_every_variable_of_trunk_and_heads(model):
    images = jnp.asarray(np.random.default_rng(0).standard_normal((2, *SHAPE), np.float32))
    variables = random_variables(model, images)
    rest = {name: value for name, value in variables.items() if name != 'params'}
    inputs = asked(model)

    @jax.jit
    def gradients(params):
        def total(params):
            outputs, changed = model.apply(
                {'params': params, **rest}, images, *inputs, train=True, mutable=['batch_stats']
            )
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(outputs)), (outputs, changed)

        return jax.grad(total, has_aux=True)(params)

    found, (outputs, changed) = gradients(variables['params'])
    assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} <= {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}
    assert all(len(leaf) == 2 for leaf in jax.tree.leaves(outputs))
    leaves = jax.tree.leaves_with_path(jax.device_get(found))
    norms = {jax.tree_util.keystr(path): float(np.linalg.norm(leaf)) for path, leaf in leaves}
    assert all(np.isfinite(norm) for norm in norms.values())
    assert {path.split("'")[1] for path, norm in norms.items() if norm} == {*variables['params']}
    assert jax.tree.structure(changed.get('batch_stats', {})) == jax.tree.structure(variables.get('batch_stats', {}))


@pytest.mark.parametrize('model', tiny_nets())
def test_bfloat16_policy_keeps_variables_and_outputs_in_float32(model):
    model = model.clone(dtype=jnp.bfloat16, trunk=model.trunk.clone(dtype=jnp.bfloat16))
    inner = set()

    def ended(call):
        if isinstance(call.module, Conv2D | BatchNorm | Dense):
            inner.add(call.first_output.dtype)

    images = jax.ShapeDtypeStruct((2, 96, 80, 3), jnp.float32)  # and another size, not square
    with record(ended):
        outputs, variables = jax.eval_shape(
            lambda images: model.init_with_output(jax.random.key(0), images, train=False), images
        )
    numbers = [leaf for leaf in jax.tree.leaves((outputs, variables)) if leaf.dtype != jnp.int32]  # words apart
    assert {leaf.dtype for leaf in numbers} == {jnp.dtype(jnp.float32)}
    assert inner == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize('family', TRUNKED)
def test_docstrings_say_what_the_design_asks_for(family):
    module = MODULES[family]
    for make in module.VARIANTS.values():
        text = (type(make()).__doc__ or '') + (module.__doc__ or '')
        for word in ('(batch, ', 'Differs', 'arXiv:', 'Learned parameters: '):
            assert word in text, f'{type(make()).__name__}: {word}'


@pytest.mark.parametrize('trunk', [RESNET, VGG_SMALL])
def test_maps_are_what_the_classifier_computes(trunk):
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, *SHAPE), np.float32))
    last = 'stage3_block1' if trunk is RESNET else 'pool3'

    @jax.jit
    def both(variables):
        outputs = {}
        with record(lambda call: outputs.update({call.name: call.first_output})):
            trunk.apply(variables, images, train=False)
        kept = {
            name: {layer: leaf for layer, leaf in part.items() if layer[:2] != 'fc'} for name, part in variables.items()
        }
        return trunk.clone(maps=True).apply(kept, images, train=False), outputs[last]

    maps, expected = both(random_variables(trunk, images))
    assert [one.shape[1] for one in maps] == ([16, 8, 4] if trunk is RESNET else [32, 16, 8])
    np.testing.assert_array_equal(maps[-1], expected)


@pytest.mark.parametrize('layout', ['cifar', 'imagenet'])
@pytest.mark.parametrize(('stem', 'finest'), [('small', 64), ('half', 32)])
def test_a_stem_says_how_large_the_finest_map_is(layout, stem, finest):
    depth = 8 if layout == 'cifar' else 18
    trunk = ResNet(depth=depth, layout=layout, stem=stem, width=1 / 16, stage_sizes=(1, 1, 1), maps=True)
    images = jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32)
    maps, variables = jax.eval_shape(lambda x: trunk.init_with_output(jax.random.key(0), x, train=False), images)
    assert [one.shape[1:3] for one in maps] == [(finest // 2**stage,) * 2 for stage in range(3)]
    assert variables['params']['conv1']['conv']['kernel'].shape[:2] == (3, 3)


LOCALIZERS = [Localizer(RESNET.clone(maps=True), num_classes=4), Localizer(VGG_SMALL.clone(maps=True), num_classes=4)]


@pytest.mark.parametrize('net', LOCALIZERS)
@pytest.mark.parametrize('form', ['run', 'file', 'torchvision', 'timm'])
def test_a_trunk_is_started_from_a_classifier(tmp_path, net, form):
    classifier = net.trunk.clone(maps=False)
    given, like, lines = values(classifier), values(net, seed=1), []
    source: Any = given
    if form == 'file':
        source = tmp_path / 'a.safetensors'
        weights.save(source, classifier, given)
    elif form != 'run':
        source = as_torch(classifier, given, form)
    taken = weights.variables_for(net, source, like, report=lines.append, what='IT')
    for collection, part in taken['params']['trunk'].items():
        jax.tree.map(np.testing.assert_array_equal, part, given['params'][collection])
    for head in ('scores', 'box', 'fc'):
        jax.tree.map(np.testing.assert_array_equal, taken['params'][head], like['params'][head])
    assert len(lines) == 1
    assert lines[0].startswith('the trunk is that of IT; its ')
    assert lines[0].endswith('left out; box, fc, scores anew')


def test_a_trunk_is_started_from_another_tasks_net_and_a_net_from_its_own():
    net, lines = LOCALIZERS[0], []
    other = MODULES['centernet'].CenterNet(net.trunk, num_classes=3, filters=8)
    given, like = values(other), values(net, seed=1)
    taken = weights.variables_for(net, given, like, report=lines.append, what='IT')
    jax.tree.map(np.testing.assert_array_equal, taken['params']['trunk'], given['params']['trunk'])
    assert lines == ['the trunk is that of IT; its offset, offset_hidden, pyramid, scores, scores_hidden, size, '
                     'size_hidden left out; box, fc, scores anew']  # fmt: skip
    own = values(net, seed=2)
    whole = weights.variables_for(net, own, like, report=lines.append)
    jax.tree.map(np.testing.assert_array_equal, whole, own)
    assert len(lines) == 1


def test_a_pyramid_is_taken_along_where_it_is_the_same():
    trunk, lines = LOCALIZERS[0].trunk, []
    centernet = MODULES['centernet'].CenterNet(trunk, num_classes=3, filters=64)
    asked = MODULES['question_answerer'].QuestionAnswerer(trunk, num_words=7, units=8, embedding=8, finest=0)
    given, like = values(centernet), values(asked, seed=1)
    taken = weights.variables_for(asked, given, like, report=lines.append, what='IT')
    for collection in ('params', 'batch_stats'):
        for part in ('trunk', 'pyramid'):
            jax.tree.map(np.testing.assert_array_equal, taken[collection][part], given[collection][part])
    jax.tree.map(np.testing.assert_array_equal, taken['params']['words'], like['params']['words'])
    assert lines[0].startswith('the trunk and the pyramid are those of IT; its offset, offset_hidden, scores, ')
    for other in (centernet.clone(filters=8), centernet.clone(finest=1)):  # of other shapes, of fewer layers
        taken = weights.variables_for(asked, values(other), like, report=lines.append, what='IT')
        jax.tree.map(np.testing.assert_array_equal, taken['params']['pyramid'], like['params']['pyramid'])
        assert lines[-1].startswith('the trunk is that of IT; its offset, offset_hidden, pyramid, ')


def test_nothing_is_evaluated_with_heads_that_nobody_trained():
    net = LOCALIZERS[0]
    with pytest.raises(CnnJaxError, match='has no box, fc, scores, which would be untrained'):
        weights.variables_for(
            net, values(net.trunk.clone(maps=False)), variable_shapes(net, SHAPE), report=print, what='IT'
        )


def test_a_trunk_that_does_not_fit_is_refused():
    net = LOCALIZERS[0]
    with pytest.raises(CnnJaxError, match=r'does not fit the model: .* missing'):
        weights.variables_for(net, values(VGG_SMALL), values(net), report=print)


def test_a_file_of_ours_gives_the_net_back(tmp_path):
    net = LOCALIZERS[0].clone(trunk=RESNET.clone(maps=True, dtype=jnp.bfloat16))
    given = values(net)
    weights.save(tmp_path / 'a.safetensors', net, given, image_shape=SHAPE, task='localization')
    again, variables = weights.load(tmp_path / 'a.safetensors')
    assert again == net
    jax.tree.map(np.testing.assert_array_equal, variables, given)
    assert weights.about(tmp_path / 'a.safetensors')['task'] == 'localization'
