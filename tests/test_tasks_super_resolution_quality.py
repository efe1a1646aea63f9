"""PSNR and SSIM on Y against closed forms and scikit-image."""

import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from cnn_jax.errors import CnnJaxError
from cnn_jax.tasks.super_resolution import luma, quality

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 256, (24, 20, 3), np.uint8)
ANSWER = RNG.integers(0, 256, (24, 20, 3), np.uint8)


def flat(level: int) -> np.ndarray:
    return np.full((24, 20, 3), level, np.uint8)


def test_luma_is_matlabs():
    np.testing.assert_allclose(luma(TRUTH), rgb2ycbcr(TRUTH)[..., 0], rtol=1e-12)
    np.testing.assert_allclose(luma(flat(0)), 16)
    np.testing.assert_allclose(luma(flat(255)), 235)
    np.testing.assert_array_equal(luma(TRUTH[..., :1]), TRUTH[..., 0])


def test_flat_images_have_closed_forms():
    found = quality(flat(110), flat(100), scale=2)
    ours, right = luma(flat(110))[0, 0], luma(flat(100))[0, 0]
    assert found.psnr == pytest.approx(20 * np.log10(255 / (10 * 219 / 255)))
    steady = (0.01 * 255) ** 2
    assert found.ssim == pytest.approx((2 * ours * right + steady) / (ours**2 + right**2 + steady))


def test_psnr_is_scikit_images_without_the_borders():
    expected = peak_signal_noise_ratio(luma(TRUTH)[3:-3, 3:-3], luma(ANSWER)[3:-3, 3:-3], data_range=255)
    assert quality(ANSWER, TRUTH, scale=3).psnr == pytest.approx(expected)


@pytest.mark.parametrize('scale', [0, 2, 4])
def test_borders_of_the_scale_count_for_nothing_and_the_next_pixel_counts(scale):
    spoiled = 255 - TRUTH
    spoiled[scale : 24 - scale, scale : 20 - scale] = TRUTH[scale : 24 - scale, scale : 20 - scale]
    assert quality(spoiled, TRUTH, scale=scale) == (np.inf, pytest.approx(1))
    spoiled[scale, scale] = 255 - spoiled[scale, scale]
    found = quality(spoiled, TRUTH, scale=scale)
    assert np.isfinite(found.psnr)
    assert found.ssim < 1


def test_both_fall_with_more_noise():
    noise = RNG.standard_normal(TRUTH.shape)
    found = [quality(np.clip(TRUTH + size * noise, 0, 255).astype(np.uint8), TRUTH, scale=2) for size in (4, 16, 64)]
    assert found == sorted(found, reverse=True)
    assert [one.ssim for one in found] == sorted((one.ssim for one in found), reverse=True)


def test_what_does_not_fit_is_refused():
    with pytest.raises(CnnJaxError, match='the truth is'):
        quality(ANSWER[1:], TRUTH, scale=2)
    with pytest.raises(CnnJaxError, match='11 a side are needed'):
        quality(ANSWER, TRUTH, scale=5)
    with pytest.raises(CnnJaxError, match='needed is uint8'):
        quality(ANSWER / 255, TRUTH / 255, scale=2)
