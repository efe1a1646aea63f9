"""The contract of every classifier: found by globbing, so a new family is tested by being there.

Real widths and depths are in test_models_reference.py, nets with a trunk in test_models_trunk.py, nets that make images
larger in test_models_enlarging.py, with a loss network in test_models_perceptual_enlargement.py, nets that repaint them
in test_models_fast_style.py; here nets are narrow and shallow, and really run.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.errors import ScopeParamShapeError
from forms import MOST_PARAMETERS, SMALL_NET, sound, takes_part

from cnn_jax.models.googlenet import GoogLeNet
from cnn_jax.models.inception import InceptionV3
from cnn_jax.models.lenet import LeNet, LeNet1998
from cnn_jax.models.resnet import DEPTHS, ResNet
from cnn_jax.models.resnet_later import LaterResNet
from cnn_jax.models.vgg import VGG
from cnn_jax.tracing.program import GROUPS, OWN_GRADIENT, flatten

MODULES = sound('model')
FIRST = {family: next(iter(module.VARIANTS.values()))() for family, module in MODULES.items()}
JUDGED = [family for family, model in FIRST.items() if hasattr(model, 'trunk') and hasattr(model, 'scale')]
TRUNKED = [family for family, model in FIRST.items() if hasattr(model, 'trunk') and family not in JUDGED]
ENLARGING = [family for family, model in FIRST.items() if hasattr(model, 'scale') and family not in JUDGED]
FAMILIES = [
    family
    for family, model in FIRST.items()
    if hasattr(model, 'num_classes') and family not in (*TRUNKED, *ENLARGING, *JUDGED)
]
TINY_INCEPTION = {'width': 1 / 16, 'modules': ('mixed_5b', 'mixed_6a', 'mixed_6b', 'mixed_7a', 'mixed_7b')}
TINY_GOOGLENET = {'width': 1 / 16, 'modules': ('4a', '4d')}  # those whose outputs its auxiliary heads see
TINY_VGG = {'width': 1 / 16, 'stage_sizes': (1, 1, 3)}  # the third convolution of a stage sets C apart
RECOMPUTED = {'checkpoint', 'remat', 'remat2'}  # what `nn.remat` leaves in a program, of whatever version of JAX
WALKED = GROUPS | OWN_GRADIENT
NUM_CLASSES = 10
LABELS = jnp.array([3, 7], jnp.int32)
test_every_family_takes_part = takes_part('model')


def fields(model) -> set[str]:
    return set(type(model).__dataclass_fields__)


def file_of(model) -> str:
    """Of a net, for what is said of it."""
    return f'{type(model).__module__.replace(".", "/")}.py'


def make_tiny(model):
    own = {VGG: TINY_VGG, InceptionV3: TINY_INCEPTION, GoogLeNet: TINY_GOOGLENET}.get(type(model), SMALL_NET)
    small = {name: value for name, value in own.items() if name in fields(model)}
    if isinstance(model, ResNet) and model.layout == 'imagenet':
        small['depth'] = (
            50 if DEPTHS[model.depth][1] else 18
        )  # with its own stage sizes: only the kind of block is left
    elif isinstance(model, LaterResNet):
        small['depth'] = 50 if DEPTHS[model.depth][1] else 18
    elif isinstance(model, ResNet):
        small['depth'] = 20
    return model.clone(**small)


def tiny_models() -> list[Any]:
    """Every variant made small, each different one once."""
    found = {}
    for family in FAMILIES:
        for name, make in MODULES[family].VARIANTS.items():
            model = make_tiny(make(num_classes=NUM_CLASSES))
            found.setdefault((type(model), repr(model)), pytest.param(model, id=f'{family}-{name}'))
    return list(found.values())


def some_images(model) -> jax.Array:
    """Two images, larger where the net needs it."""
    size = 32 if isinstance(model, ResNet | LaterResNet | VGG | LeNet | LeNet1998) else 96
    return jnp.asarray(np.random.default_rng(0).standard_normal((2, size, size, 3), np.float32))


def variable_shapes(model, images):
    return shapes_at(model, images.shape)


@functools.cache
def shapes_at(model, shape):
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=True), images)


def random_variables(model, images):
    """Values of the right shapes from numpy: initializers would take seconds to compile."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if path[-1].key in ('var', 'scale'):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        fan_in = max(1, leaf.size // leaf.shape[-1])
        return (rng.standard_normal(leaf.shape) * np.sqrt(2 / fan_in)).astype(np.float32)

    return jax.tree.map_with_path(draw, variable_shapes(model, images))


def make_loss(model, variables, images):
    rest = {name: value for name, value in variables.items() if name != 'params'}

    def loss(params):
        rngs = {'dropout': jax.random.key(0)}
        scores, changed = model.apply(
            {'params': params, **rest}, images, train=True, rngs=rngs, mutable=['batch_stats', 'losses']
        )
        scores = scores if isinstance(scores, tuple) else (scores,)  # auxiliary heads
        per_head = [optax.softmax_cross_entropy_with_integer_labels(head, LABELS).mean() for head in scores]
        return sum(per_head), (scores, changed)

    return loss


@pytest.mark.parametrize('model', tiny_models())
def test_one_forward_and_one_training_step(model):
    images = some_images(model)
    variables = random_variables(model, images)
    loss = make_loss(model, variables, images)

    @jax.jit
    def step(params):
        (value, (scores, changed)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return value, scores, changed, gradient

    value, scores, changed, gradient = jax.device_get(step(variables['params']))
    assert all(head.shape == (2, NUM_CLASSES) for head in scores), (
        f'{file_of(model)}: return logits (batch, num_classes), or a tuple of such, the last head first'
    )
    assert np.isfinite(value)
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
    assert sum(np.linalg.norm(leaf) for leaf in jax.tree.leaves(gradient)) > 0
    statistics = jax.tree.structure(changed.get('batch_stats', {}))
    assert statistics == jax.tree.structure(variables.get('batch_stats', {}))


@pytest.mark.parametrize('model', tiny_models())
def test_evaluation_at_another_size_and_channel_count(model):
    images = jax.ShapeDtypeStruct((3, 128, 144, 2), jnp.float32)
    scores = jax.eval_shape(lambda images: model.init_with_output(jax.random.key(0), images, train=False)[0], images)
    assert scores.shape == (3, NUM_CLASSES), f'{file_of(model)}: in evaluation return logits (batch, num_classes) alone'
    assert scores.dtype == jnp.float32


@pytest.mark.parametrize('model', tiny_models())
def test_bfloat16_policy_keeps_parameters_statistics_and_scores_in_float32(model):
    model = model.clone(dtype=jnp.bfloat16)
    wider = []  # layers that compute in something else

    def record(call, args, kwargs, context):
        outputs, module = call(*args, **kwargs), context.module
        if module.path and context.method_name == '__call__':
            kinds = {leaf.dtype for leaf in jax.tree.leaves(outputs) if jnp.issubdtype(leaf.dtype, jnp.floating)}
            wider.extend(f'{"/".join(module.path)} ({kind})' for kind in kinds - {jnp.dtype(jnp.bfloat16)})
        return outputs

    images = jax.ShapeDtypeStruct((2, 96, 96, 3), jnp.float32)
    with nn.intercept_methods(record):
        scores, variables = jax.eval_shape(
            lambda images: model.init_with_output(jax.random.key(0), images, train=False), images
        )
    file = file_of(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}, (
        f'{file}: keep parameters in float32; `dtype` is that of the computation alone'
    )
    assert not wider, f'{file}: hand `dtype=self.dtype` to every layer; with bfloat16 these give {", ".join(wider)}'
    assert scores.dtype == jnp.float32, (
        f'{file}: end with `return logits if self.dtype is None else logits.astype(jnp.float32)`'
    )


@pytest.mark.parametrize('family', FAMILIES)
def test_remat_is_there_and_changes_no_names(family):
    model = make_tiny(next(iter(MODULES[family].VARIANTS.values()))(num_classes=NUM_CLASSES, remat=True))
    structures = []
    for twin, recomputes in ((model, True), (model.clone(remat=False), False)):
        init = jax.make_jaxpr(functools.partial(twin.init, train=True), return_shape=True)  # a forward pass in training
        forward, shapes = init(jax.random.key(0), some_images(model))
        structures.append(jax.tree.structure(shapes))
        kinds = {step.kind for step in flatten(forward, WALKED - RECOMPUTED).steps}
        assert bool(kinds & RECOMPUTED) == recomputes, (
            f'{file_of(model)}: wrap its blocks or convolutions in `nn.remat` where `remat` is True, and only there'
        )
    assert structures[0] == structures[1]


def test_remat_changes_no_gradient():
    model = make_tiny(ResNet(num_classes=NUM_CLASSES))
    images = some_images(model)
    variables = random_variables(model, images)
    gradients = []
    for twin in (model, model.clone(remat=True)):
        gradient = jax.jit(jax.grad(make_loss(twin, variables, images), has_aux=True))(variables['params'])[0]
        gradients.append(gradient)
    plains, remats = (jax.tree.leaves(jax.device_get(each)) for each in gradients)
    scale = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in plains))
    for plain, remat in zip(plains, remats, strict=True):
        np.testing.assert_allclose(plain / scale, remat / scale, atol=1e-5)


@pytest.mark.parametrize('model', tiny_models())
def test_a_net_can_be_made_small(model):
    counts = [leaf.size for leaf in jax.tree.leaves(variable_shapes(model, some_images(model)))]
    assert sum(counts) <= MOST_PARAMETERS, (
        f'{file_of(model)}: give {type(model).__name__} a field `width: float = 1.0` that multiplies its filters, or '
        '`stage_sizes`; the tests make it small by them'
    )


def test_a_parameter_of_another_shape_is_refused():
    """As Flax refuses it, whose own check is not asked."""
    model = make_tiny(ResNet(num_classes=NUM_CLASSES))
    variables = variable_shapes(model, some_images(model))
    wider = {**variables, 'params': variable_shapes(model.clone(num_classes=3), some_images(model))['params']}
    with pytest.raises(ScopeParamShapeError, match=r'"kernel" in "/fc"'):
        jax.eval_shape(functools.partial(model.apply, train=False), wider, some_images(model))
