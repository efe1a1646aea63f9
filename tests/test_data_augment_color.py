"""Changes of colour against closed forms and the standard library."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_imagenet import cut

from cnn_jax.data import augment_color as color

IMAGE = np.asarray(cut(4, width=12, height=10))


def keys_of(num: int, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), num)


def as_float(image=IMAGE):
    return jnp.asarray(image, jnp.float32)


def test_brightness_contrast_saturation():
    image = IMAGE.astype(float)
    grey = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(color.brightness(as_float(), jnp.asarray(1.3)), np.minimum(image * 1.3, 255), rtol=1e-5)
    expected = np.clip(grey.mean() + 0.4 * (image - grey.mean()), 0, 255)
    np.testing.assert_allclose(color.contrast(as_float(), jnp.asarray(0.4)), expected, rtol=1e-4)
    expected = np.clip(grey[..., None] + 1.6 * (image - grey[..., None]), 0, 255)
    np.testing.assert_allclose(color.saturation(as_float(), jnp.asarray(1.6)), expected, rtol=1e-4, atol=1e-3)
    for change in (color.brightness, color.contrast, color.saturation):
        np.testing.assert_allclose(change(as_float(), jnp.asarray(1.0)), image, atol=1e-4)


@pytest.mark.parametrize('turn', [0.0, 0.1, -0.25, 0.5])
def test_hue_is_colorsys(turn):
    turned = np.asarray(color.hue(as_float(), jnp.asarray(turn)))
    for row in range(10):
        for column in range(12):
            hue, saturation, value = colorsys.rgb_to_hsv(*(IMAGE[row, column] / 255))
            expected = colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value)
            np.testing.assert_allclose(turned[row, column] / 255, expected, atol=1e-4)


def test_hue_of_grey_is_grey():
    grey = jnp.full((3, 3, 3), 100.0)
    np.testing.assert_allclose(color.hue(grey, jnp.asarray(0.3)), grey, atol=1e-4)


def test_jitter_depends_on_the_own_key_and_keeps_the_type():
    images = jnp.asarray(np.stack([IMAGE] * 6))
    jitter = jax.jit(lambda keys, images: color.color_jitter(keys, images, hue_range=0.1))
    changed = jitter(keys_of(6), images)
    assert changed.dtype == jnp.uint8
    assert len(np.unique(np.asarray(changed).reshape(6, -1), axis=0)) == 6
    order = jnp.array([4, 0, 5, 1, 3, 2])
    np.testing.assert_array_equal(jitter(keys_of(6)[order], images), changed[order])
    nothing = color.color_jitter(keys_of(6), images, brightness_range=0, contrast_range=0, saturation_range=0)
    np.testing.assert_array_equal(nothing, images)


def test_jitter_has_the_range_it_says():
    white = jnp.full((3000, 1, 1, 3), 100.0)
    options = {'contrast_range': 0.0, 'saturation_range': 0.0}
    factor = np.asarray(color.color_jitter(keys_of(3000), white, brightness_range=0.4, **options))[:, 0, 0, 0] / 100
    assert np.abs(np.sort(factor) - np.linspace(0.6, 1.4, 3000)).max() < 0.03  # Kolmogorov and Smirnov at 0.1 %


def test_lighting_has_the_covariance_of_imagenet():
    grey = jnp.full((20_000, 1, 1, 3), 128.0)
    shifts = np.asarray(color.pca_lighting(keys_of(20_000), grey))[:, 0, 0] / 255 - 128 / 255
    vectors, values = np.array(color.IMAGENET_EIGENVECTORS), np.array(color.IMAGENET_EIGENVALUES)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-3)
    expected = vectors @ np.diag((0.1 * values) ** 2) @ vectors.T
    np.testing.assert_allclose(np.cov(shifts.T), expected, atol=2e-5)
    np.testing.assert_allclose(shifts.mean(0), 0, atol=6e-4)


def test_lighting_is_one_colour_for_the_image():
    images = jnp.full((4, 5, 6, 3), 100.0)
    shifted = np.asarray(color.pca_lighting(keys_of(4), images))
    np.testing.assert_allclose(shifted, np.broadcast_to(shifted[:, :1, :1], shifted.shape), rtol=1e-6)


def test_random_grey():
    images = jnp.asarray(np.stack([IMAGE] * 500))
    changed = np.asarray(color.random_grey(keys_of(500), images, probability=0.3))
    grey = (changed == changed[..., :1]).all((1, 2, 3))
    assert 100 < grey.sum() < 200
    np.testing.assert_array_equal(changed[~grey], np.asarray(images)[~grey])
    expected = np.round(IMAGE @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(changed[grey][0][..., 0] - expected).max() <= 1
