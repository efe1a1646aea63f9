"""The contract of every model: found by globbing, so a new family is tested by being there.

Real widths and depths are in test_models_reference.py; here nets are narrow and shallow, and really run.
"""

import importlib
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import cnn_jax.models
from cnn_jax.layers import BatchNorm, Conv2D

FAMILIES = sorted(path.stem for path in pathlib.Path(cnn_jax.models.__file__).parent.glob('[a-z]*.py'))
MODULES = {family: importlib.import_module(f'cnn_jax.models.{family}') for family in FAMILIES}
TINY = {'width': 1 / 16, 'stage_sizes': (1, 1, 1)}  # fields of that name; a VGG keeps its five stages
NUM_CLASSES = 10
LABELS = jnp.array([3, 7], jnp.int32)


def fields(model) -> set[str]:
    return set(type(model).__dataclass_fields__)


def variants() -> list[Any]:
    return [pytest.param(make, id=f'{f}-{name}') for f in FAMILIES for name, make in MODULES[f].VARIANTS.items()]


def tiny_models() -> list[Any]:
    """Every variant made small, each different one once."""
    found = {}
    for family in FAMILIES:
        for name, make in MODULES[family].VARIANTS.items():
            model = make(num_classes=NUM_CLASSES)
            small = {key: value for key, value in TINY.items() if key in fields(model)}
            if family == 'resnet':
                small['depth'] = (
                    8 if model.layout == 'cifar' else max(18, min(model.depth, 50)) if model.depth > 34 else 18
                )
            elif family == 'vgg':
                small['stage_sizes'] = model.stage_sizes
            found.setdefault(repr(model.clone(**small)), pytest.param(model.clone(**small), id=f'{family}-{name}'))
    return list(found.values())


def smallest_images(model) -> jax.Array:
    """Two images of the smallest of three sizes that the model takes."""
    for size in (32, 64, 96):
        images = np.random.default_rng(0).standard_normal((2, size, size, 3), np.float32)
        try:
            variable_shapes(model, images)
        except ValueError:
            continue
        return jnp.asarray(images)
    raise AssertionError(f'{model} takes no images of up to 96 pixels')


def variable_shapes(model, images):
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
    images = smallest_images(model)
    variables = random_variables(model, images)
    loss = make_loss(model, variables, images)

    @jax.jit
    def step(params):
        (value, (scores, changed)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return value, scores, changed, gradient

    value, scores, changed, gradient = step(variables['params'])
    assert all(head.shape == (2, NUM_CLASSES) for head in scores)
    assert np.isfinite(value)
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
    assert optax.global_norm(gradient) > 0
    statistics = jax.tree.structure(changed.get('batch_stats', {}))
    assert statistics == jax.tree.structure(variables.get('batch_stats', {}))


@pytest.mark.parametrize('make', variants())
def test_evaluation_gives_one_row_of_float32_scores_per_image(make):
    model = tiny_if_deep(make(num_classes=NUM_CLASSES))
    images = smallest_images(model)
    shapes = variable_shapes(model, images)
    outputs = jax.eval_shape(lambda v, images: model.apply(v, images, train=False), shapes, images)
    assert outputs.shape == (2, NUM_CLASSES)
    assert outputs.dtype == jnp.float32


def tiny_if_deep(model):
    """Depth changes nothing but the time that tracing takes."""
    return model.clone(stage_sizes=(1, 1, 1)) if 'depth' in fields(model) else model


@pytest.mark.parametrize('make', variants())
def test_other_sizes_and_channel_counts(make):
    model = tiny_if_deep(make(num_classes=NUM_CLASSES))
    images = jax.ShapeDtypeStruct((1, 128, 144, 2), jnp.float32)
    outputs = jax.eval_shape(lambda images: model.init_with_output(jax.random.key(0), images, train=False)[0], images)
    assert outputs.shape == (1, NUM_CLASSES)


@pytest.mark.parametrize('make', variants())
def test_bfloat16_policy_keeps_parameters_statistics_and_scores_in_float32(make):
    model = tiny_if_deep(make(num_classes=NUM_CLASSES, dtype=jnp.bfloat16))
    images = smallest_images(model)
    shapes = variable_shapes(model, images)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}
    inner = set()

    def record(call, args, kwargs, context):
        outputs = call(*args, **kwargs)
        if isinstance(context.module, Conv2D | BatchNorm) and context.method_name == '__call__':
            inner.add(outputs.dtype)
        return outputs

    with flax_interceptor(record):
        outputs = jax.eval_shape(lambda v, images: model.apply(v, images, train=False), shapes, images)
    assert inner == {jnp.dtype(jnp.bfloat16)}
    assert outputs.dtype == jnp.float32


def flax_interceptor(record):
    import flax.linen as nn

    return nn.intercept_methods(record)


@pytest.mark.parametrize('family', [name for name in FAMILIES if name != 'lenet'])
def test_remat_changes_neither_names_nor_gradients(family):
    make = next(iter(MODULES[family].VARIANTS.values()))
    model = make(num_classes=NUM_CLASSES, width=1 / 16)
    model = tiny_if_deep(model)
    images = smallest_images(model)
    variables = random_variables(model, images)
    gradients = []
    for twin in (model, model.clone(remat=True)):
        assert jax.tree.structure(variable_shapes(twin, images)) == jax.tree.structure(variables)
        gradient = jax.jit(jax.grad(make_loss(twin, variables, images), has_aux=True))(variables['params'])[0]
        gradients.append(gradient)
    scale = optax.global_norm(gradients[0])
    for plain, remat in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(plain / scale, remat / scale, atol=1e-5)


@pytest.mark.parametrize('family', FAMILIES)
def test_docstrings_say_what_the_design_asks_for(family):
    module = MODULES[family]
    assert module.VARIANTS
    for make in module.VARIANTS.values():
        text = (type(make()).__doc__ or '').lower()
        for word in ('parameters', 'multiply-adds', 'differs from the paper', '(batch, '):
            assert word in text, f'{type(make()).__name__}: {word}'
        assert any(word in text + (module.__doc__ or '').lower() for word in ('arxiv', 'proc. ieee', 'nips'))
