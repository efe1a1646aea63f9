"""The published settings as the run's images need them, and the changes and moves that they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import restoration

from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.optimized import objectives, presets, regularisers
from cnn_jax.visualize.optimized import transformations as moves


def test_presets_fit_the_size_of_the_images():
    with pytest.raises(CnnJaxError, match=r'unknown preset: .yosinsky3.; choose from: yosinski3'):
        presets.recipe('yosinsky3', (32, 32))
    (small, _), (large, _) = (presets.recipe('maco', size).transformations for size in ((32, 32), (640, 640)))
    assert large == moves.Crops(0.5, 0.05)
    assert small == moves.Crops(1.0, 0.875)
    for name, published in (('yosinski4', 90), ('yosinski1', 50)):
        shares = {}
        for size in (16, 32, 227):
            clip = presets.recipe(name, (size, size)).changes[-1]
            assert isinstance(clip, regularisers.ClipNorm | regularisers.ClipContribution)
            shares[size] = clip.percentile
        assert shares[227] == published
        assert 32**2 * (1 - shares[32] / 100) == pytest.approx(24**2)
        assert shares[16] == 0


def test_the_stages_share_the_steps_and_go_from_the_first_weight_to_the_last():
    assert [one.num_steps for one in presets.stages()] == [190, 150, 20, 10]
    assert [one.num_steps for one in presets.stages(37)] == [19, 15, 2, 1]
    assert sum(one.num_steps for one in presets.stages(5)) == 5
    second = presets.stages()[1].changes[0]
    images = jax.random.uniform(jax.random.key(0), (1, 9, 8, 3))
    for number, weight in ((1, 0.01), (76, 1.005), (151, 2)):
        found = second(images, images, jnp.asarray(number))
        np.testing.assert_allclose(found, regularisers.denoised(images, 255 * weight), rtol=1e-5)
    with pytest.raises(CnnJaxError, match='steps: -1 given; it is at least 0'):
        presets.stages(-1)


def test_the_centred_stages_are_the_published_ones_and_look_nearer_to_the_middle():
    found = presets.centred_stages((227, 227))
    assert [one.num_steps for one in found] == [190, 150, 150, 30, 10]
    assert [one.num_steps for one in presets.centred_stages((227, 300), 53)] == [19, 15, 15, 3, 1]
    sides = [[move.first for move in one.transformations if isinstance(move, moves.Crops)] for one in found]
    assert sides == [[], [1 / 1.2], *[[pytest.approx(1 / 1.44)]] * 3]
    # A step in a piece is as long, in the mean over its pixels, as the published one.
    rates = [255 * one.steps.rate / (side[0] ** 2 if side else 1) for one, side in zip(found, sides, strict=True)]
    np.testing.assert_allclose(rates, [11, 6, 1, 3, 6])
    assert [one.steps.last for one in found] == [1, 1, 1, 1, 0.5]
    assert [moves.Margin(50 / 227) in one.transformations for one in found] == [False, False, False, True, False]
    small = presets.centred_stages((32, 40))
    assert small[1].transformations == (moves.Crops(28 / 32, 28 / 32, 0.3 * 4 / 32),)
    assert small[4].transformations == small[1].transformations
    assert small[3].transformations[1] == moves.Margin(4 / 32)


def test_a_step_for_a_logarithm_is_one_for_the_probability():
    """Normalised, also where the probability is nothing in a float: class 1 at -200 has no other gradient."""
    channels = jnp.array([1, 2])
    logits = jnp.array([[0.0, 1.0, -1.0, 0.5], [2.0, 0.0, 0.0, 1.0]])
    logged = objectives.probabilities(channels)

    def probability(values):
        return jnp.take_along_axis(jax.nn.softmax(values), channels[:, None], 1).sum()

    ours, theirs = jax.grad(lambda values: logged(lambda _: values).sum())(logits), jax.grad(probability)(logits)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one / jnp.abs(one).mean(), other / jnp.abs(other).mean(), rtol=1e-5)
    far = logits.at[0, 1].set(-200.0)
    assert jnp.abs(jax.grad(lambda values: logged(lambda _: values).sum())(far)[0]).max() > 0.5
    assert not jax.grad(probability)(far)[0].any()


@pytest.mark.parametrize('weight', [2.0, 10.0, 60.0])
def test_what_is_denoised_is_scikit_images(weight):
    """Both solve one problem; 20 rounds of it lower what is to be least, and 400 end where its 5,000 do."""
    clean = np.kron([[0.2, 0.8], [0.6, 0.4]], np.ones((8, 6)))
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 0.1, clean.shape), 0, 1)

    def cost(image):
        down, across = regularisers.differences(jnp.asarray(image)[None, ..., None])
        return float(jnp.hypot(down, across).sum() + weight / 2 * np.square(image - noisy).sum())

    expected = restoration.denoise_tv_chambolle(noisy, 1 / weight, eps=1e-12, max_num_iter=5000)
    few, many = (
        np.asarray(regularisers.denoised(jnp.asarray(noisy)[None, ..., None], weight, rounds))[0, ..., 0]
        for rounds in (20, 400)
    )
    np.testing.assert_allclose(many, expected, atol=1e-3)
    assert cost(expected) - 1e-4 < cost(many) <= cost(few) < cost(noisy)


def test_only_what_is_within_a_margin_is_drawn():
    image = jax.random.normal(jax.random.key(0), (10, 20, 2))
    back = jax.grad(lambda x: moves.Margin(0.2)(jax.random.key(1), x, jnp.zeros(())).sum())(image)
    inside = np.zeros(image.shape)
    inside[2:-2, 4:-4] = 1
    np.testing.assert_array_equal(back, inside)
    np.testing.assert_array_equal(moves.Margin(0.2)(jax.random.key(1), image, jnp.zeros(())), image)
