"""Named filters: signs, sums, and the flip between convolution and cross-correlation."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from cnn_jax.ops import filters

EDGE = jnp.concatenate([jnp.zeros((1, 6, 3, 1)), jnp.ones((1, 6, 3, 1))], 2)  # dark on the left, bright on the right


def test_the_sign_of_sobel_is_the_flip():
    correlated = filters.correlate2d(EDGE, filters.SOBEL_X, padding='valid')
    convolved = filters.convolve2d(EDGE, filters.SOBEL_X, padding='valid')
    assert float(correlated.max()) == 4
    assert float(correlated.min()) == 0
    np.testing.assert_array_equal(convolved, -correlated)


def test_both_products_are_those_of_scipy():
    rng = np.random.default_rng(0)
    image, window = rng.standard_normal((7, 8)).astype('float32'), rng.standard_normal((3, 5)).astype('float32')
    images = jnp.stack([image, 2 * image], -1)[None]
    for ours, theirs in (
        (filters.correlate2d, scipy.signal.correlate2d),
        (filters.convolve2d, scipy.signal.convolve2d),
    ):
        result = ours(images, window)
        np.testing.assert_allclose(result[0, :, :, 0], theirs(image, window, 'same'), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(result[0, :, :, 1], 2 * result[0, :, :, 0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match='window has shape'):
        filters.correlate2d(images, jnp.ones((3, 3, 1)))


def test_sobel_magnitude_is_that_of_scipy():
    image = np.random.default_rng(1).random((9, 9)).astype('float32')
    across, down, magnitude = filters.sobel(jnp.asarray(image)[None, :, :, None], padding='valid')
    rows, columns = (scipy.ndimage.sobel(image, axis)[1:-1, 1:-1] for axis in (0, 1))
    np.testing.assert_allclose(across[0, :, :, 0], columns, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(down[0, :, :, 0], rows, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(magnitude[0, :, :, 0], np.hypot(rows, columns), rtol=1e-4, atol=1e-5)


def test_sums():
    assert filters.box(3).sum() == pytest.approx(1)
    assert filters.gaussian(7, sigma=1.5).sum() == pytest.approx(1)
    assert filters.SHARPEN.sum() == 1
    assert filters.LAPLACIAN.sum() == filters.SOBEL_X.sum() == 0
    gaussian = filters.gaussian(9, sigma=1.0)
    impulse = np.zeros((9, 9))
    impulse[4, 4] = 1
    np.testing.assert_allclose(gaussian, scipy.ndimage.gaussian_filter(impulse, 1.0), atol=1e-5)


def test_gabor_bank():
    bank = filters.gabor_bank(11, num_angles=4, wavelengths=(4.0, 8.0), phases=(0.0, 0.25))
    assert bank.shape == (16, 11, 11)
    np.testing.assert_allclose(bank.mean((1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(bank, axis=(1, 2)), 1)
    even, odd = bank[0], bank[1]
    np.testing.assert_allclose(even, even[::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose(odd, -odd[::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose(bank[4], bank[0].T, atol=1e-12)  # half of half a turn
    x = np.arange(11) - 5
    grating = np.cos(2 * np.pi * x / 4)[None, :] * np.ones((11, 1))  # a wave along the width answers the first
    assert abs(np.sum(bank[0] * grating)) > 5 * abs(np.sum(bank[4] * grating))


@pytest.mark.parametrize(
    'call',
    [
        lambda: filters.gaussian(4, sigma=1),
        lambda: filters.gaussian(3, sigma=0),
        lambda: filters.box(0),
        lambda: filters.gabor_bank(4),
    ],
)
def test_mistakes(call):
    with pytest.raises(ValueError, match='it must be'):
        call()
