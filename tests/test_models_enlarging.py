"""The contract of every net that makes images larger, found by globbing; and EDSR and SRCNN."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_models import ENLARGING, MODULES, random_variables

from cnn_jax.layers import Conv2D
from cnn_jax.models.edsr import EDSR
from cnn_jax.models.srcnn import SRCNN
from cnn_jax.ops import bicubic
from cnn_jax.tracing.record import record
from cnn_jax.weights.native import build_model, describe_model

IMAGES = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 5, 3), np.float32))
SMALL = {EDSR: {'filters': 4, 'blocks': 1}, SRCNN: {'filters': (4, 3)}}
VARIANTS = [
    pytest.param(make(), id=f'{family}-{name}')
    for family in ENLARGING
    for name, make in MODULES[family].VARIANTS.items()
]


def tiny(model: Any) -> Any:
    return model.clone(**SMALL[type(model)])


def run(model: Any, variables: Any) -> jax.Array:
    return model.apply(variables, IMAGES, train=False)


@pytest.mark.parametrize('model', VARIANTS)
def test_any_size_is_enlarged_in_float32_whatever_the_policy(model):
    model, inner = tiny(model).clone(dtype=jnp.bfloat16), set()
    images = jax.ShapeDtypeStruct((2, 11, 8, 3), jnp.float32)

    def ended(call):
        if isinstance(call.module, Conv2D):
            inner.add(call.first_output.dtype)

    with record(ended):
        outputs, variables = jax.eval_shape(
            lambda images: model.init_with_output(jax.random.key(0), images, train=False), images
        )
    assert outputs.shape == (2, 11 * model.scale, 8 * model.scale, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, variables))} == {jnp.dtype(jnp.float32)}
    assert inner == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize('model', VARIANTS)
def test_a_variant_comes_back_from_what_a_file_of_weights_keeps(model):
    header = describe_model(model)
    assert header['options'] == {}
    assert build_model(header) == model
    assert build_model(describe_model(tiny(model))) == tiny(model)


@pytest.mark.parametrize('family', ENLARGING)
def test_docstrings_say_what_the_design_asks_for(family):
    module = MODULES[family]
    text = (type(next(iter(module.VARIANTS.values()))()).__doc__ or '') + (module.__doc__ or '')
    for word in ('(batch, ', 'Differs', 'arXiv:', 'Learned parameters: '):
        assert word in text, word


@pytest.mark.parametrize('model', [EDSR(scale=2), EDSR(scale=3), SRCNN()])
def test_one_step_reaches_every_variable(model):
    model = tiny(model)
    variables = random_variables(model, IMAGES)
    gradients = jax.jit(jax.grad(lambda given: jnp.sum(jnp.sin(run(model, given)))))(variables)
    for path, leaf in jax.tree.leaves_with_path(gradients):
        norm = float(np.linalg.norm(np.asarray(leaf)))
        assert np.isfinite(norm), path
        assert norm, path


def test_an_untrained_residual_net_is_bicubic():
    model = tiny(EDSR(scale=3, residual=True))
    variables = model.init(jax.random.key(0), IMAGES, train=True)
    np.testing.assert_array_equal(run(model, variables), bicubic(IMAGES, scale=3))


@pytest.mark.parametrize('model', [EDSR(), SRCNN()])
def test_residual_adds_the_enlargement_and_nothing_else(model):
    model = tiny(model)
    variables = random_variables(model, IMAGES)
    difference = run(model.clone(residual=True), variables) - run(model, variables)
    np.testing.assert_allclose(difference, bicubic(IMAGES, scale=2), atol=1e-5)


def test_a_wide_nets_blocks_add_a_tenth():
    model = tiny(EDSR())
    variables = random_variables(model, IMAGES)
    tenth = jax.tree.map(jnp.asarray, variables)
    block = tenth['params']['block1_2']
    tenth['params']['block1_2'] = jax.tree.map(lambda leaf: leaf / 10, block)
    ours = run(model.clone(residual_scale=0.1), variables)
    np.testing.assert_allclose(ours, run(model, tenth), atol=1e-5)
