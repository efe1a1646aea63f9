"""Larger images against Pillow and against the definition."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax import ops

IMAGES = np.random.default_rng(0).standard_normal((2, 5, 4, 18)).astype(np.float32)


@pytest.mark.parametrize('scale', [1, 2, 3, 4])
def test_bicubic_is_pillows(scale):
    ours = ops.bicubic(jnp.asarray(IMAGES[..., :2]), scale=scale)
    for image, given in zip(ours, IMAGES, strict=True):
        for channel in range(2):
            plane = Image.fromarray(np.ascontiguousarray(given[..., channel]))  # of mode F: not rounded
            expected = plane.resize((4 * scale, 5 * scale), Image.Resampling.BICUBIC)
            np.testing.assert_allclose(image[..., channel], np.asarray(expected), atol=2e-6)


@pytest.mark.parametrize('scale', [1, 3])
def test_pixel_shuffle_puts_each_channel_where_torch_does(scale):
    ours = np.asarray(ops.pixel_shuffle(jnp.asarray(IMAGES), scale=scale))
    assert ours.shape == (2, 5 * scale, 4 * scale, 18 // scale**2)
    for row in range(scale):
        for column in range(scale):
            expected = IMAGES[..., row * scale + column :: scale**2]
            np.testing.assert_array_equal(ours[:, row::scale, column::scale], expected)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match='18 channels given; for scale 2 they are a multiple of 4'):
        ops.pixel_shuffle(jnp.asarray(IMAGES), scale=2)
    for function in (ops.pixel_shuffle, ops.bicubic):
        with pytest.raises(ValueError, match='scale'):
            function(jnp.asarray(IMAGES), scale=0)
        with pytest.raises(ValueError, match='images'):
            function(jnp.asarray(IMAGES[0]), scale=1)
