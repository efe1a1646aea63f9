"""The picture to paint like: the same for a seed, of every size, and of all colours in each part of it."""

import numpy as np
import pytest

from cnn_jax.data.scenery.strokes import strokes


@pytest.mark.parametrize('size', [32, 160])
def test_a_picture_is_its_seeds(size):
    picture = strokes(size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, strokes(size))
    assert (picture != strokes(size, seed=3)).any()


def test_each_quarter_has_warm_and_cold_dark_and_light_strokes():
    picture = strokes(256).astype(float)
    warmth, light = picture[..., 0] - picture[..., 2], picture.mean(-1)
    for rows in (slice(0, 128), slice(128, 256)):
        for columns in (slice(0, 128), slice(128, 256)):
            part = (rows, columns)
            assert (warmth[part] > 40).mean() > 0.1
            assert (warmth[part] < -40).mean() > 0.1
            assert (light[part] < 100).mean() > 0.1
            assert (light[part] > 160).mean() > 0.05
