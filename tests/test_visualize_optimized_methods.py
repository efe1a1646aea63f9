"""The methods that optimise images: what was planted is found, and digits made for one net are read by others."""

from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from sklearn.metrics import adjusted_rand_score

from cnn_jax.data import digits
from cnn_jax.models import lenet
from cnn_jax.visualize import class_images, deep_dream, invert, multifaceted, units
from cnn_jax.visualize.engine.examples import Examples

COLORS = np.array([[230, 40, 40], [40, 220, 40], [40, 60, 230]])


class Planted:
    """Images of three colours, with some noise; all are of class 0."""

    def __init__(self, count: int = 48, shape: tuple[int, int] = (8, 8)):
        rng = np.random.default_rng(0)
        self.modes = rng.integers(0, 3, count)
        noise = rng.integers(-12, 13, (count, *shape, 3))
        self.images = (COLORS[self.modes][:, None, None] + noise).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> dict:
        return {'image': self.images[row], 'label': 0}


def planted() -> tuple[Planted, Examples]:
    source = Planted()
    return source, Examples(source, lambda pixels: jnp.asarray(pixels, jnp.float32) / 255)


class Hidden(nn.Module):
    """A convolution, its maps as they are, and their mean."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(6, (3, 3), name='conv1')(images))
        return nn.Dense(2, name='output')(nn.relu(nn.Dense(8, name='hidden')(x.mean((1, 2)))))


class Mixed(nn.Module):
    """An orthogonal matrix on the colours of each pixel."""

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(3, (1, 1), use_bias=False, kernel_init=nn.initializers.orthogonal(), name='mixed')(images)
        return nn.Dense(2, name='output')(x.mean((1, 2)))


def made(model: nn.Module) -> tuple[Any, Any]:
    return model, model.init(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))


def test_three_planted_colours_are_the_three_facets():
    source, training = planted()
    found = multifaceted.visualize(*made(Hidden()), training=training, facets=3, nearest=8, steps=20)
    assert adjusted_rand_score(source.modes[found['rows']], found['facet']) == 1
    assert sorted(found['counts']) == sorted(np.bincount(source.modes))
    for number in range(3):
        mode = source.modes[found['rows'][found['facet'] == number][0]]
        np.testing.assert_allclose(255 * found['starts'][number].mean((0, 1)), COLORS[mode], atol=3)
    assert np.all(found['values'] > found['start_values'])


def test_an_orthogonal_layer_is_inverted():
    _, training = planted()
    images = training.preprocess(np.stack([training.source[row]['image'] for row in (0, 1)]))
    found = invert.visualize(
        *made(Mixed()), images=images, training=training, layer='mixed', steps=300, variation=0.0, powers=0.0
    )
    assert found['residuals'].max() < 1e-3
    assert found['pixel_errors'].max() < 0.02
    assert found['mixed_total_variation'].max() == 0


def test_no_step_of_a_dream_returns_the_image_and_others_raise_the_objective():
    _, training = planted()
    images = training.preprocess(training.source[0]['image'][None])
    net = made(Hidden())
    still = deep_dream.visualize(*net, images=images, training=training, layer='conv1', steps=0)
    np.testing.assert_array_equal(still['images'], still['originals'])
    dreamt = deep_dream.visualize(*net, images=images, training=training, layer='conv1', steps=5, octaves=2)
    assert dreamt['octaves'].tolist() == [[6, 6], [8, 8]]
    assert dreamt['after'] > dreamt['before'] == still['before']
    guided = deep_dream.visualize(*net, images=images, training=training, layer='conv1', steps=5, octaves=1, guide='3')
    assert guided['after'] > guided['before']
    slope = jax.grad(lambda x: strength(net, x))(images)
    pixels = np.concatenate([training.source[row]['image'].reshape(-1, 3) for row in range(48)]) / 255
    for colored, change in ((False, np.eye(3)), (True, np.cov(pixels, rowvar=False, bias=True))):
        once = deep_dream.visualize(
            *net, images=images, training=training, layer='conv1', steps=1, octaves=1, jitter=0.0,
            natural_colors=colored,
        )  # fmt: skip
        way = slope @ change
        expected = np.clip(images + 1.5 / 255 * way / np.abs(way).mean(), 0, 1)
        np.testing.assert_allclose(once['images'], expected, atol=1e-4)


def strength(net: tuple[Any, Any], images: jax.Array) -> jax.Array:
    """Half the squares of the convolution, before the ReLU that stands outside of it."""
    kernel = net[1]['params']['conv1']
    values: Any = nn.Conv(6, (3, 3)).apply({'params': kernel}, images)
    return 0.5 * jnp.square(values).sum()


def test_units_are_stronger_than_in_any_real_image_and_differ():
    _, training = planted()
    found = units.visualize(
        *made(Hidden()),
        training=training,
        examples=training,
        layer='conv1',
        preset='plain',
        place='largest',
        steps=60,
        diverse=2,
        negative=True,
        most=3,
    )
    assert found['kinds'].tolist() == ['optimised', 'another, 2', 'negative']
    assert found['images'].shape == (3, 3, 8, 8, 3)
    assert np.all(found['activations'][0] > found['real'][:, 0])
    assert np.all(found['activations'][2] < found['activations'][0])


@pytest.fixture(scope='module')
def handwritten(data_dir) -> Examples:
    """Digits as LeNet takes them."""
    source = digits.load(batch_size=32, validation=0.0).open('train', data_dir)
    scale = (lenet.FOREGROUND - lenet.BACKGROUND) / 255
    return Examples(source, lambda pixels: jnp.asarray(pixels, jnp.float32) * scale + lenet.BACKGROUND)


def trained(name: str) -> Any:
    """The variables of a run of lenet_digits; see tests/data/make_digit_nets.py."""
    with np.load(Path(__file__).parent / 'data' / 'digit_nets.npz') as arrays:
        own = {key: jnp.asarray(arrays[key], jnp.float32) for key in arrays if key.startswith(f'{name}/')}
    return traverse_util.unflatten_dict({tuple(key.split('/')[1:]): leaf for key, leaf in own.items()})


def test_digits_made_for_one_net_are_read_by_others(handwritten):
    """By a net of another seed all ten, and by the LeNet of 1998 at least eight."""
    first, second, third = (trained(name) for name in ('modern_0', 'modern_1', 'faithful_0'))
    found = class_images.visualize(lenet.LeNet(), first, training=handwritten, presets=('robust',), steps=60)
    inputs = jnp.asarray(found['images'][0]) * (lenet.FOREGROUND - lenet.BACKGROUND) + lenet.BACKGROUND
    others = ((lenet.LeNet(), second), (lenet.LeNet1998(), third))
    said = [np.asarray(jax.jit(partial(net.apply, train=False))(own, inputs)).argmax(-1) for net, own in others]
    assert found['predicted'][0].tolist() == said[0].tolist() == list(range(10))
    assert (said[1] == np.arange(10)).sum() >= 8
