"""The core of pictures by optimisation: closed forms of linear nets, other libraries' blurs, and properties."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cnn_jax.errors import CnnJaxError, DivergedError
from cnn_jax.layers import Conv2D
from cnn_jax.losses import gram_matrices
from cnn_jax.streams import numbered
from cnn_jax.tracing import layers
from cnn_jax.tracing.static import Static
from cnn_jax.visualize.optimized import (
    kept,
    many,
    natural,
    objectives,
    parameterisation,
    presets,
    regularisers,
    step,
    styles,
)
from cnn_jax.visualize.optimized import transformations as moves
from cnn_jax.visualize.optimized.ascent import IN_VAIN, RESCUED, ZERO, ascend
from cnn_jax.visualize.optimized.inputs import Inputs
from cnn_jax.visualize.optimized.objectives import units
from cnn_jax.visualize.optimized.recipe import PIXELS, Recipe
from cnn_jax.visualize.optimized.steps import Steps

SIZE = (6, 5, 2)


class Linear(nn.Module):
    """Two scores, each a weighted sum of the pixels."""

    @nn.compact
    def __call__(self, images):
        return nn.Dense(2, use_bias=False, name='output')(images.reshape(len(images), -1))


class Dead(nn.Module):
    """A unit that is off for all images near the mean colour, and a ReLU net beneath it."""

    bias: float = -10.0

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(4, (3, 3), name='conv1')(images))
        return nn.relu(nn.Dense(2, bias_init=nn.initializers.constant(self.bias), name='output')(x.mean((1, 2))))


class Off(nn.Module):
    """A layer that ends in its activation, and whose units are off for all images."""

    activation: Any

    @nn.compact
    def __call__(self, images):
        return Conv2D(2, 1, activation=self.activation, bias_initializer=nn.initializers.constant(-9.0), name='off')(
            images
        )


class Deep(nn.Module):
    """Two convolutions and a wide layer above them."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(3, (3, 3), name='conv1')(images))
        x = nn.relu(nn.Conv(4, (3, 3), strides=2, name='conv2')(x))
        return nn.Dense(50, name='output')(x.reshape(len(x), -1))


def plain(size=SIZE, mean=0.0) -> natural.Natural:
    """Model inputs are the images themselves."""
    height, width, channels = size
    ones = jnp.ones(channels)
    shape = (height, width // 2 + 1, channels)
    return natural.Natural(
        Inputs(0 * ones, jnp.eye(channels)),
        mean * ones,
        jnp.eye(channels),
        jnp.ones(shape),
        jnp.ones(()),
        (height, width),
    )


def keys_of(count, first=0):
    return numbered(jax.random.key(3), first + jnp.arange(count))


def net_of(model: nn.Module, size=SIZE) -> tuple[Any, Any]:
    return model, model.init(jax.random.key(1), jnp.zeros((1, *size)))


def weights_of(variables) -> np.ndarray:
    return np.asarray(variables['params']['output']['kernel']).T.reshape(2, *SIZE)


@pytest.mark.parametrize(('steps', 'expected'), [(0, 0.0), (7, 1 - (1 - 2 * 0.1 * 0.5) ** 7), (400, 1.0)])
def test_the_squares_of_a_linear_score_end_at_its_weights(steps, expected):
    """x_t = w / (2 lambda) (1 - (1 - 2 eta lambda)^t)."""
    model, variables = net_of(Linear())
    recipe = Recipe(PIXELS, Steps('ascent', 0.1), steps, penalties=(('squares', regularisers.Squares(0.5)),))
    found = _parameters(model, variables, recipe, plain())
    np.testing.assert_allclose(found, weights_of(variables) * expected, rtol=1e-4, atol=1e-6)


def _parameters(model, variables, recipe, images: natural.Natural) -> np.ndarray:
    """The parameters after the ascent, which are not clipped as what is shown is."""
    scene = step.Scene(variables, images, units([0, 1]), keys_of(2))
    start = jnp.zeros((2, *images.shape))
    state = step.State(start, recipe.steps.make(recipe.num_steps).init(start), jnp.zeros((), jnp.int32))
    weights = step.Weights(jnp.ones(2), jnp.ones(()), jnp.zeros(2, bool))
    for _ in range(recipe.num_steps):
        state, _ = step.step(Static(model), recipe, scene, state, weights)
    return np.asarray(state.parameters)


def test_a_decay_has_its_fixed_point():
    """x = eta w (1 - d) / d."""
    model, variables = net_of(Linear())
    recipe = Recipe(PIXELS, Steps('ascent', 0.2), 60, changes=(regularisers.Decay(0.3),))
    np.testing.assert_allclose(
        _parameters(model, variables, recipe, plain()), 0.2 * 0.7 / 0.3 * weights_of(variables), rtol=1e-4, atol=1e-6
    )


def test_a_step_of_progress_gains_what_it_asks_for():
    model, variables = net_of(Linear())
    found = _parameters(model, variables, Recipe(PIXELS, Steps('progress', 2.0), 3), plain())
    np.testing.assert_allclose((found * weights_of(variables)).sum((1, 2, 3)), 6.0, rtol=1e-4)
    short = _parameters(model, variables, Recipe(PIXELS, Steps('progress', 2.0, most=0.01), 3), plain())
    np.testing.assert_allclose(np.sqrt(np.square(short).mean((1, 2, 3))), 0.03, rtol=1e-4)


def test_smoothed_steps_are_scipys_blur_of_the_gradient_and_as_long():
    model, variables = net_of(Linear())
    found = _parameters(model, variables, Recipe(PIXELS, Steps('normalised', 0.1), 1, smoothed=0.8), plain())
    weights = ndimage.gaussian_filter(weights_of(variables), (0, 0.8, 0.8, 0))
    expected = 0.1 * weights / np.abs(weights).mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_simonyan_ends_at_images_as_strong_as_those_of_the_run():
    model, variables = net_of(Linear())
    images = dataclasses.replace(plain(mean=0.5), norm=jnp.asarray(0.4))
    found = ascend(model, variables, units([0, 1]), presets.recipe('simonyan', (6, 5)), images, keys=keys_of(2))
    np.testing.assert_allclose(np.linalg.norm((found.images - 0.5).reshape(2, -1), axis=1), 0.4, rtol=1e-3)


@pytest.mark.parametrize('sigma', [0.5, 1.0, 3.0])
@pytest.mark.parametrize('shape', [(2, 7, 12, 1), (1, 3, 4, 3)])
def test_a_blur_is_scipys(sigma, shape):
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode='reflect')
    np.testing.assert_allclose(regularisers.blurred(jnp.asarray(images), sigma), expected, atol=1e-5)


@pytest.mark.parametrize('percentile', [20, 50, 90])
def test_clipping_zeroes_a_share_and_keeps_the_rest_to_the_bit(percentile):
    images = jax.random.normal(jax.random.key(0), (2, 9, 11, 3))
    change = regularisers.ClipNorm(percentile)
    once = change(images, images, jnp.asarray(1))
    gone = np.asarray(once == 0).all(-1)
    assert np.all(np.abs(gone.sum((1, 2)) - percentile / 100 * 99) <= 1)
    np.testing.assert_array_equal(np.asarray(once)[~gone], np.asarray(images)[~gone])
    np.testing.assert_array_equal(change(once, once, jnp.asarray(1)), once)
    gradients = jax.random.normal(jax.random.key(1), images.shape)
    ranked = np.abs((np.asarray(gradients) * np.asarray(images)).sum(-1)).reshape(2, -1)
    kept = np.asarray(regularisers.ClipContribution(percentile)(images, gradients, jnp.asarray(1)) != 0).any(-1)
    least = [rank[one].min() for rank, one in zip(ranked, kept.reshape(2, -1), strict=True)]
    most = [rank[~one].max() for rank, one in zip(ranked, kept.reshape(2, -1), strict=True)]
    assert np.all(np.array(least) >= np.array(most))


@pytest.mark.parametrize('beta', [1.0, 2.0, 6.0])
def test_total_variation_by_hand_and_by_finite_differences(beta):
    image = np.random.default_rng(0).normal(size=(1, 4, 5, 2))
    down, across = np.zeros_like(image), np.zeros_like(image)
    down[:, :-1], across[:, :, :-1] = np.diff(image, axis=1), np.diff(image, axis=2)
    expected = ((down**2 + across**2) ** (beta / 2)).mean()
    with jax.enable_x64(True):
        penalty = jax.jit(regularisers.TotalVariation(1.0, beta))
        assert float(penalty(jnp.asarray(image))[0]) == pytest.approx(expected, rel=1e-4)
        direction, epsilon = np.random.default_rng(1).normal(size=image.shape), 1e-6
        ends = [float(penalty(jnp.asarray(image + sign * epsilon * direction))[0]) for sign in (1, -1)]
        slope = jax.grad(lambda x: penalty(x).sum())(jnp.asarray(image))
        assert float((slope * direction).sum()) == pytest.approx((ends[0] - ends[1]) / (2 * epsilon), rel=1e-5)


@pytest.mark.parametrize(('height', 'width'), [(4, 6), (5, 7), (6, 3), (3, 8)])
def test_spectra_of_any_height_and_width_are_numpys(height, width):
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft2(rng.normal(size=(2, height, width, 2)), axes=(1, 2), norm='ortho')
    found = parameterisation.to_pixels(jnp.asarray(spectrum, jnp.complex64), (height, width))
    np.testing.assert_allclose(found, np.fft.irfft2(spectrum, (height, width), (1, 2), norm='ortho'), atol=1e-5)


def test_the_first_image_of_a_spectrum_is_as_strong_at_all_sizes():
    deviations = []
    for size in (16, 65):
        images, spectrum = plain((size, size, 1), 0.5), parameterisation.Fourier(0.01)
        made = jax.jit(lambda keys, images=images, one=spectrum: one.images(one.start(keys, images), images))(
            keys_of(8)
        )
        deviations.append(float(jnp.std(made)))
    assert max(deviations) < 1.1 * min(deviations)


def test_colours_and_spectrum_are_those_of_the_images():
    """Independent colours of variance 1 come out with the measured covariance; phases keep the magnitudes."""
    rng = np.random.default_rng(0)
    mixing = np.array([[0.2, 0, 0], [0.1, 0.05, 0], [0, 0.02, 0.1]])
    pixels = 0.5 + rng.normal(size=(40, 8, 9, 3)) @ mixing.T
    found = natural.of_images(pixels, Inputs(jnp.zeros(3), jnp.eye(3)))
    covariance = np.cov(pixels.reshape(-1, 3), rowvar=False)
    np.testing.assert_allclose(found.colors @ found.colors.T, covariance, rtol=0.02, atol=1e-4)
    squares = np.square(pixels - pixels.mean((0, 1, 2))).sum((1, 2, 3))
    assert float(found.norm) == pytest.approx(np.sqrt(squares.mean()), rel=1e-4)
    phases = parameterisation.Phases()
    squashed = np.asarray(phases.images(phases.start(keys_of(2), found), found), np.float64)
    mean = np.asarray(found.mean, np.float64)
    made = (np.log(squashed / (1 - squashed)) - np.log(mean / (1 - mean))) * mean * (1 - mean)
    independent = made @ np.linalg.inv(np.asarray(found.colors, np.float64)).T
    magnitudes = np.abs(np.fft.rfft2(independent, axes=(1, 2), norm='ortho'))
    inner = np.s_[:, :, 1:4]  # a column of its own conjugate cannot hold any phase
    np.testing.assert_allclose(magnitudes[inner], np.broadcast_to(found.magnitudes, magnitudes.shape)[inner], rtol=1e-3)


def test_moves_that_are_off_change_nothing_and_a_roll_is_undone():
    images = jax.random.uniform(jax.random.key(0), (2, 8, 9, 3))
    off = (moves.Jitter(0), moves.Zoom(1, 1), moves.Rotate(0), moves.Crops(1, 1, 0), moves.Noise(0))
    moved = jax.jit(moves.apply, static_argnums=0)(off, keys_of(2), images, jnp.zeros(()))
    np.testing.assert_allclose(moved, images, atol=1e-5)
    shift = jnp.array([3, -2])
    np.testing.assert_array_equal(moves.rolled(moves.rolled(images[0], shift), -shift), images[0])
    back = jax.grad(lambda x: (moves.rolled(x, shift) * images[1]).sum())(images[0])
    np.testing.assert_array_equal(back, moves.rolled(images[1], -shift))


@pytest.mark.parametrize('move', [moves.Jitter(0.2), moves.Rotate(30), moves.Zoom(0.9, 1 / 0.9, 0.1)])
def test_moves_are_unbiased(move):
    """The mean of a straight slope over many keys is the slope, away from the edges."""
    slope = jnp.broadcast_to(jnp.linspace(-1, 1, 21)[:, None, None], (21, 21, 1))
    made = jax.jit(jax.vmap(lambda key: move(key, slope, jnp.zeros(()))))(keys_of(3000))
    np.testing.assert_allclose(made.mean(0)[8:13, 8:13, 0], slope[8:13, 8:13, 0], atol=0.02)


def test_a_turn_is_scipys():
    image = np.random.default_rng(0).normal(size=(9, 9, 1)).astype(np.float32)
    expected = ndimage.rotate(image, 20, reshape=False, order=1, mode='grid-constant')
    both = [np.asarray(moves.rotated(jnp.asarray(image), sign * np.deg2rad(20))) for sign in (1, -1)]
    assert min(np.abs(one - expected).max() for one in both) < 1e-4


def test_a_picture_is_its_keys_alone():
    """Batched equals single, the same key gives the same picture, another key another."""
    model, variables = net_of(Deep())
    recipe = Recipe(parameterisation.Pixels(0.05), Steps('normalised', 0.02), 4, (moves.Jitter(0.3),), views=2)
    images = plain(mean=0.5)
    run = lambda chosen, keys: ascend(model, variables, units(chosen, 'conv2'), recipe, images, keys=keys).images  # noqa: E731
    batch = run([0, 1, 2], keys_of(3))
    np.testing.assert_array_equal(run([0, 1, 2], keys_of(3)), batch)
    np.testing.assert_allclose(run([2], keys_of(1, 2)), batch[2:], atol=1e-5)
    assert np.abs(run([2], keys_of(1, 9)) - batch[2:]).max() > 1e-3
    alone, whole = (
        many.ascend_each(model, variables, lambda rows: units(rows, 'conv2'), 3, recipe, images, chunk=chunk)
        for chunk in (1, 3)
    )
    np.testing.assert_allclose(alone.images, whole.images, atol=1e-5)
    assert alone.history['objective'].shape == (4, 3)


@pytest.mark.parametrize('steps', [30, 60], ids=['stopped', 'ended by patience'])
def test_an_ascent_goes_on_where_it_stopped(tmp_path, monkeypatch, steps):
    """To the bit; with other settings it begins anew, and where all ends well nothing is left behind."""
    model, variables = net_of(Linear())
    recipe = Recipe(parameterisation.Pixels(0.05), Steps('adam', 0.02), steps, (moves.Jitter(0.3),))
    options: dict[str, Any] = {'keys': keys_of(2), 'patience': 20}
    run = lambda **more: ascend(model, variables, units([0, 1]), recipe, plain(mean=0.5), **options, **more)  # noqa: E731
    whole = run()
    monkeypatch.setattr(kept, 'SAVE_EVERY_SECONDS', 0.0)

    def stop(done, *_):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), kept.keeping(tmp_path, 'dots'):
        run(told=stop)
    assert len(list(tmp_path.glob('.dots-ascent-*.npz'))) == 1
    assert (tmp_path / 'dots_preview.png').exists()
    with kept.keeping(tmp_path, 'dots'):
        monkeypatch.setattr(kept, 'SAVE_EVERY_SECONDS', 1e9)
        again = run()
    np.testing.assert_array_equal(again.images, whole.images)
    np.testing.assert_array_equal(again.history['objective'], whole.history['objective'])
    assert list(tmp_path.iterdir()) == []


def test_no_step_returns_the_start():
    model, variables = net_of(Deep())
    start = np.random.default_rng(0).uniform(size=(1, *SIZE)).astype(np.float32)
    found = ascend(model, variables, units([0]), Recipe(num_steps=0), plain(), keys=keys_of(1), start=start)
    np.testing.assert_array_equal(found.images, start)
    assert found.history == {}


def test_a_dead_unit_is_rescued_or_named():
    """The unit has a bias of -1: plain ascent cannot move it. One whose weights are zero cannot be rescued."""
    model, variables = net_of(Dead(-1.0))
    kernel = variables['params']['output']['kernel']
    variables['params']['output']['kernel'] = jnp.abs(kernel).at[:, 1].set(0) * 3
    recipe = Recipe(parameterisation.Pixels(0.1), Steps('normalised', 0.1), 40)
    found = ascend(model, variables, units([0, 1]), recipe, plain(mean=0.5), keys=keys_of(2))
    assert found.notes == [RESCUED, ZERO]
    assert found.history['objective'][0, 0] == 0
    assert found.history['objective'][-1, 0] > 0
    assert not found.history['gradient'][:, 1].any()


@pytest.mark.parametrize('activation', [nn.relu, lambda x: jnp.maximum(x, 0), nn.tanh])
def test_a_unit_that_is_off_has_a_gradient_before_its_relu(activation):
    """Of another activation the output itself is read."""
    model, variables = net_of(Off(activation))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(1, *SIZE)), jnp.float32)
    net = layers.trace(model, variables, images)
    before, after = net.run(variables, images, [net.before('off'), net.output('off')])
    assert before.max() < 0
    np.testing.assert_array_equal(after, jnp.maximum(before, 0) if activation is not nn.tanh else before)
    objective = objectives.Unit(jnp.zeros(1, jnp.int32), -jnp.ones(1), objectives.Before('off'))
    found = ascend(model, variables, objective, Recipe(num_steps=2), plain(mean=0.5), keys=keys_of(1))
    assert found.notes == ['']
    assert found.history['gradient'].all()


def test_a_rescue_in_vain_is_said():
    """No image between black and white switches the unit on."""
    model, variables = net_of(Dead(-1e4))
    variables['params']['output']['kernel'] = jnp.abs(variables['params']['output']['kernel'])
    recipe = Recipe(parameterisation.Pixels(0.1), Steps('normalised', 0.1), 20, clip=True)
    found = ascend(model, variables, units([0]), recipe, plain(mean=0.5), keys=keys_of(1))
    assert found.notes == [IN_VAIN]
    assert not found.values.any()


def test_what_is_not_finite_is_said():
    model, variables = net_of(Linear())
    broken = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), variables)
    with pytest.raises(DivergedError, match='not finite: gradient, objective at step 1'):
        ascend(model, broken, units([0]), Recipe(num_steps=2), plain(), keys=keys_of(1))


def test_an_ascent_ends_when_nothing_gets_better():
    model, variables = net_of(Linear())
    still = jax.tree.map(jnp.zeros_like, variables)
    found = ascend(model, still, units([0]), Recipe(num_steps=200), plain(), keys=keys_of(1), patience=20)
    assert len(found.history['objective']) == 30


def test_objectives_are_added_and_weighed():
    values = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    read = lambda layer: {'a': values, 'b': 2 * values}[layer]  # noqa: E731
    first, second = units([0, 1], 'a', 'mean'), units([2, 2], 'b', 'centre')
    found = (first + second * 3.0 - first)(read)
    np.testing.assert_allclose(found, 6 * values[:, 2, 2, 2], rtol=1e-5)
    assert (first + second).layers == ('a', 'b')
    np.testing.assert_allclose((-first)(read), -values.mean((1, 2))[[0, 1], [0, 1]], rtol=1e-5)
    np.testing.assert_allclose(units([0, 1], 'a', 'largest')(read), values.max((1, 2))[[0, 1], [0, 1]])
    seeds = jax.grad(lambda x: objectives.Strength('a')(lambda _: x).sum())(values)
    np.testing.assert_allclose(seeds, values, rtol=1e-6)
    np.testing.assert_allclose(objectives.Match(values, 'b')(read), -1.0, rtol=1e-5)
    np.testing.assert_allclose(styles.Style(gram_matrices(values), 'a', 'share')(read), 0, atol=1e-6)


def test_diversity_of_copies_and_of_orthogonal_images():
    same = jnp.ones((3, 2, 2, 2))
    apart = jnp.zeros((2, 1, 1, 2)).at[0, 0, 0, 0].set(1).at[1, 0, 0, 1].set(1)
    on = objectives.Diverse(jnp.zeros(3, int), jnp.ones(3), 'a', 3)
    np.testing.assert_allclose(on(lambda _: same), -2)
    assert float(objectives.Diverse(jnp.array([0, 1]), jnp.ones(2), 'a', 2)(lambda _: apart).sum()) == 0
    off = objectives.Diverse(jnp.zeros(3, int), jnp.array([1.0, 1, 0]), 'a', 3)
    np.testing.assert_allclose(off(lambda _: same), [-1, -1, 0])


def test_layers_above_the_target_cost_nothing():
    """By the compiled cost: of a net whose upper layer is the most of it."""
    model, variables = net_of(Deep())
    images, recipe = plain(), Recipe()
    start = jnp.zeros((1, *SIZE))
    state = step.State(start, recipe.steps.make(1).init(start), jnp.zeros((), jnp.int32))
    weights = step.Weights(jnp.ones(1), jnp.ones(()), jnp.zeros(1, bool))

    def flops(layer, of=model, given=variables):
        scene = step.Scene(given, images, units([0], layer), keys_of(1))
        costs: Any = step.step.lower(Static(of), recipe, scene, state, weights).compile().cost_analysis()
        return costs['flops']

    lower, upper, whole = flops('conv1'), flops('conv2'), flops(None)
    assert lower < upper < whole
    wider, its = net_of(Wide())
    assert flops('conv1', wider, its) == lower


class Wide(Deep):
    """The same with much more above the first layer."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(3, (3, 3), name='conv1')(images))
        return nn.Dense(500, name='output')(x.reshape(len(x), -1))


def test_maps_of_images_of_another_size_are_read_below_a_dense_layer():
    model, variables = net_of(Deep())
    larger = jax.ShapeDtypeStruct((1, 16, 15, 2), jnp.float32)
    with pytest.raises(CnnJaxError, match='cannot be called'):
        layers.trace(model, variables, larger)
    net = step.net_of(model, variables, larger, ('conv1', 'conv2'))
    assert list(net.layers) == ['conv1', 'conv2']
    images = jax.random.normal(jax.random.key(0), larger.shape)
    (found,) = net.run(variables, images, [net.output('conv2')])
    first: Any = nn.Conv(3, (3, 3)).apply({'params': variables['params']['conv1']}, images)
    expected: Any = nn.Conv(4, (3, 3), strides=2).apply({'params': variables['params']['conv2']}, nn.relu(first))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_squashed_stays_near_the_mean_and_within_black_and_white():
    mean, small = jnp.array([0.2, 0.5, 0.0]), jnp.full((1, 1, 1, 3), 1e-3)
    found = np.asarray(parameterisation.squashed(small, mean)).ravel()
    np.testing.assert_allclose(found[:2], [0.201, 0.501], atol=1e-5)
    far = np.asarray(parameterisation.squashed(jnp.linspace(-9, 9, 50)[None, None, :, None], mean[:1]))
    assert 0 <= far.min() < 0.01 < 0.99 < far.max() <= 1
