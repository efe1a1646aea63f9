"""The recipes: rates, decays, sizes and targets at known steps, in the words of their sources."""

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false
# (Trees of arrays.)

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError

EPOCH = 1_281_167
module = experiment.module('resnet_imagenet')


def load(**options):
    return experiment.load('resnet_imagenet', options).experiment


def rate(made, epoch):
    assert made.learning_rate is not None
    return float(made.learning_rate(round(epoch * EPOCH / made.data.batch_size)))


def test_goyal():
    made = load(batch_size=8192)
    assert [rate(made, epoch) for epoch in (0, 5, 29, 31, 61, 81)] == pytest.approx(
        [0.1, 3.2, 3.2, 0.32, 0.032, 0.0032]
    )
    assert made.num_steps == round(90 * EPOCH / 8192)
    assert (made.data.train_sizes, made.mix, made.ema_decay) == ((), None, None)
    assert made.model.zero_init_last


def test_torchvision_v1():
    made = load(recipe='torchvision_v1')
    assert made.data.batch_size == 256
    assert [rate(made, epoch) for epoch in (0, 29, 31, 61, 89)] == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])


def test_torchvision_v2():
    made = load(recipe='torchvision_v2')
    assert (made.data.batch_size, made.data.repeats, made.data.train_sizes) == (1024, 4, ((0, 176),))
    assert rate(made, 0) == pytest.approx(0.005)
    assert rate(made, 300) == pytest.approx(0.25, rel=1e-4)
    assert made.num_steps == round(600 * EPOCH / 1024)
    alpha = min(1.0, (1 - 0.99998) * 8 * 128 * 32 / 600)  # of references/classification/train.py, every 32 steps
    assert made.ema_decay == pytest.approx(1 - alpha / 32)


@pytest.mark.parametrize(
    ('recipe', 'epochs', 'peak', 'size', 'repeats', 'depth_rate'),
    [
        ('rsb_a1', 600, 5e-3, (), 3, 0.05),
        ('rsb_a2', 300, 5e-3, (), 3, 0.05),
        ('rsb_a3', 100, 8e-3, ((0, 160),), 1, 0.0),
    ],
)
def test_rsb(recipe, epochs, peak, size, repeats, depth_rate):
    made = load(recipe=recipe)
    assert made.num_steps == round(epochs * EPOCH / 2048)
    assert rate(made, epochs / 2) == pytest.approx(peak / 2, rel=1e-3)
    assert rate(made, 0) == pytest.approx(1e-4)
    assert (made.data.train_sizes, made.data.repeats, made.model.stochastic_depth) == (size, repeats, depth_rate)
    halved = load(recipe=recipe, batch_size=512)
    assert rate(halved, epochs / 2) == pytest.approx(peak / 4, rel=1e-3)  # by the root


def test_sgd_decays_what_each_recipe_decays():
    params = {'conv1': {'kernel': jnp.ones((2,))}, 'norm': {'scale': jnp.ones(2), 'bias': jnp.ones(2)}}
    zeros = jax.tree.map(jnp.zeros_like, params)
    for recipe, norms in (('goyal', 0.0), ('torchvision_v1', 1e-4 * 0.1)):
        plan = module.RECIPES[recipe]
        optimizer = module.make_optimizer(plan, optax.constant_schedule(0.1))
        updates, _ = optimizer.update(zeros, optimizer.init(params), params)
        assert float(updates['norm']['scale'][0]) == pytest.approx(-norms * (1.9 if plan.nesterov else 1))
        assert float(updates['conv1']['kernel'][0]) == pytest.approx(-1e-5 * (1.9 if plan.nesterov else 1))


def test_lamb_is_timms():
    """Its arithmetic written out, first step: clipped to a norm of 1, a trust ratio and decay for kernels alone."""
    rng = np.random.default_rng(0)
    params = {'fc': {'kernel': rng.standard_normal((3, 4)), 'bias': rng.standard_normal(4)}}
    gradient = jax.tree.map(lambda leaf: 3 * rng.standard_normal(leaf.shape), params)
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    assert norm > 1
    adam = jax.tree.map(lambda leaf: leaf / norm / (np.abs(leaf / norm) + 1e-6), gradient)  # moments without bias
    decayed = adam['fc']['kernel'] + 0.02 * params['fc']['kernel']
    kernel = decayed * np.linalg.norm(params['fc']['kernel']) / np.linalg.norm(decayed)
    optimizer = module.make_optimizer(module.RECIPES['rsb_a2'], optax.constant_schedule(5e-3))
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (params, gradient))
    updates, _ = optimizer.update(single[1], optimizer.init(single[0]), single[0])
    np.testing.assert_allclose(updates['fc']['kernel'], -5e-3 * kernel, rtol=1e-4)
    np.testing.assert_allclose(updates['fc']['bias'], -5e-3 * adam['fc']['bias'], rtol=1e-4)


def test_sizes_that_grow():
    made = load(recipe='goyal', train_sizes='128,176,224', epochs=9.0)
    third = made.num_steps / 3
    assert [made.data.train_size(round(step * third)) for step in (0, 0.5, 1.5, 2.5)] == [128, 128, 176, 224]
    with pytest.raises(CnnJaxError, match='train_sizes: got 0'):
        load(train_sizes='0')


def test_the_step_of_a_modern_recipe_fits_together():
    """Repeats, mixing, erasing, soft targets and the average of weights, traced only; two images on each of four."""
    made = load(recipe='rsb_a1', smoke=True)
    assert made.data.repeats == 3
    mesh = mapping.make_mesh(2)
    state = jax.eval_shape(lambda: made.init_state(0))
    batch = {
        'image': jax.ShapeDtypeStruct((8, 32, 32, 3), jnp.uint8),
        **{name: jax.ShapeDtypeStruct((8,), jnp.int32) for name in ('label', 'index', 'epoch')},
        'mask': jax.ShapeDtypeStruct((8,), bool),
    }
    after, metrics = jax.eval_shape(mapping.map_step(made.train_step(), mesh), state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert metrics['loss'].shape == ()
