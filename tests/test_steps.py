"""The numbers of a step: the gradient of the mean loss, exact ranks, keys that know only the image."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax.data.augment import on_images
from cnn_jax.devices import mapping
from cnn_jax.steps.evaluate import make_eval_step
from cnn_jax.steps.inputs import image_keys
from cnn_jax.steps.recipe import Recipe
from cnn_jax.steps.state import init_state
from cnn_jax.steps.train import make_train_step
from cnn_jax.tasks import classification
from cnn_jax.tasks.classification import results

PIXELS = (2, 2, 1)


class Linear(nn.Module):
    """A linear classifier with a penalty and a constant that must not move."""

    penalty: float = 0.0

    @nn.compact
    def __call__(self, images, *, train):
        del train
        scale = self.variable('constants', 'scale', lambda: jnp.float32(2))
        kernel = self.param('kernel', nn.initializers.normal(), (4, 3))
        self.sow('losses', 'l2', self.penalty * jnp.sum(kernel**2))
        return scale.value * images.reshape(-1, 4) @ kernel


def to_float(keys, images):
    return images.astype(jnp.float32) / 255


def make_recipe(model, optimizer, **more):
    return Recipe(model=model, task=classification.task(), optimizer=optimizer, preprocess=on_images(to_float), **more)


def make_batch(size=8):
    rng = np.random.default_rng(0)
    return {
        'image': rng.integers(0, 256, (size, *PIXELS)).astype(np.uint8),
        'label': rng.integers(0, 3, size).astype(np.int32),
        'mask': np.ones(size, bool),
        'index': np.arange(size, dtype=np.int32),
        'epoch': np.zeros(size, np.int32),
    }


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'learning_rate': 0.1}, 'learning_rate: 0.1 given; give a schedule, as optax.constant_schedule'),
        ({'augment': 'flip'}, "augment: 'flip' given; give a function"),
        ({'model': Linear}, r'model: .*Linear.* given; give a Linen module, made: LeNet\(\), not LeNet'),
        ({'optimizer': optax.sgd}, 'optimizer: .*sgd.* given; give an optax transformation'),
    ],
)
def test_a_part_of_another_kind_is_said(given, words):
    with pytest.raises(ValueError, match=words):
        make_recipe(**({'model': Linear(), 'optimizer': optax.sgd(0.1)} | given))


@pytest.mark.parametrize('num_devices', [1, 2, 8])
@pytest.mark.parametrize('penalty', [0.0, 0.3])
def test_a_step_is_gradient_descent_on_the_mean_loss_and_the_penalties(num_devices, penalty):
    model, optimizer = Linear(penalty), optax.sgd(0.5)
    mesh = mapping.make_mesh(num_devices)
    recipe = make_recipe(model, optimizer, learning_rate=optax.constant_schedule(0.5))
    state = init_state(recipe, make_batch(1), jax.random.key(0))
    state = jax.device_put(state, mapping.replicated(mesh))
    batch, kernel = make_batch(), np.asarray(state.params['kernel'], np.float64)

    pixels = batch['image'].reshape(8, 4) / 255
    scores = 2 * pixels @ kernel
    softmax = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    onehot = np.eye(3)[batch['label']]
    loss = -np.log(softmax[np.arange(8), batch['label']]).mean() + penalty * (kernel**2).sum()
    gradient = 2 * pixels.T @ (softmax - onehot) / 8 + 2 * penalty * kernel

    after, metrics = mapping.map_step(make_train_step(recipe), mesh)(state, mapping.put_batch(mesh, batch))
    np.testing.assert_allclose(after.params['kernel'], kernel - 0.5 * gradient, atol=1e-6)
    assert float(metrics['loss']) == pytest.approx(loss, rel=1e-6)
    assert float(metrics['gradient_norm']) == pytest.approx(np.sqrt((gradient**2).sum()), rel=1e-5)
    assert float(metrics['learning_rate']) == 0.5
    assert float(metrics['top1']) == pytest.approx((scores.argmax(1) == batch['label']).mean())
    assert float(after.model_state['constants']['scale']) == 2
    assert set(after.model_state) == {'constants'}
    assert int(after.step) == 1


def test_rank_counts_the_classes_above_with_ties_in_class_order():
    scores = jnp.array([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [5.0, 5.0, 5.0], [0.0, jnp.nan, 1.0]])
    ranks = results.rank_of_label(scores, jnp.array([0, 0, 2, 2]))
    np.testing.assert_array_equal(ranks, [2, 0, 2, 3])


def test_rank_zero_is_the_arg_max():
    scores = jnp.asarray(np.random.default_rng(0).integers(0, 4, (200, 5)), jnp.float32)
    labels = jnp.asarray(np.random.default_rng(1).integers(0, 5, 200), jnp.int32)
    ranks = results.rank_of_label(scores, labels)
    np.testing.assert_array_equal(ranks == 0, jnp.argmax(scores, -1) == labels)


def test_the_key_of_an_image_does_not_depend_on_its_place_in_the_batch():
    batch = make_batch()
    keys = jax.random.key_data(image_keys(jax.random.key(1), batch))
    order = np.array([3, 1, 7, 0])
    some = {name: batch[name][order] for name in ('index', 'epoch')}
    np.testing.assert_array_equal(jax.random.key_data(image_keys(jax.random.key(1), some)), keys[order])
    later = {**some, 'epoch': some['epoch'] + 1}
    assert not np.array_equal(jax.random.key_data(image_keys(jax.random.key(1), later)), keys[order])


def test_augmentation_is_for_training_alone():
    def ruin(keys, images):
        return images * 0

    recipe = make_recipe(Linear(), optax.sgd(0.1), augment=on_images(ruin))
    mesh = mapping.make_mesh(1)
    state = init_state(recipe, make_batch(1), jax.random.key(0))
    state = jax.device_put(state, mapping.replicated(mesh))
    batch = mapping.put_batch(mesh, make_batch())
    eval_step = mapping.map_eval(make_eval_step(recipe), mesh)
    assert float(jnp.std(eval_step(state.variables, batch)['loss'])) > 1e-3
    _, metrics = mapping.map_step(make_train_step(recipe), mesh)(state, batch)
    assert float(metrics['loss']) == pytest.approx(np.log(3))
