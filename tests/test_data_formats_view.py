"""A rectangle that is drawn on a picture is found in what the net is shown, and carried back."""

import io

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data.formats import fitted, view
from cnn_jax.data.formats.encoded import Decoding
from cnn_jax.data.pipeline import Data
from cnn_jax.weights.preprocessing import Preprocessing

SIZES = [(300, 200), (200, 300), (64, 64), (40, 30), (900, 120), (97, 211)]


def drawn(width, height, orientation=1):
    """The bytes of a picture with a rectangle near its middle, and the rectangle where it is seen upright."""
    corner, sides = (
        np.array([width, height]) / 2 - 0.1 * min(width, height),
        np.array([0.25, 0.15]) * min(width, height),
    )
    box = np.concatenate([corner, corner + sides]).round().astype(int)
    pixels = np.zeros((height, width), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).convert('RGB').save(buffer, 'JPEG', quality=100, exif=exif)
    if orientation == 6:  # a quarter to the right
        box = np.array([height - box[3], box[0], height - box[1], box[2]])
    return buffer.getvalue(), box


def found_in(pixels):
    bright = np.asarray(pixels)[..., 0] > 127
    across, down = np.flatnonzero(bright.any(0)), np.flatnonzero(bright.any(1))
    return np.array([across[0], down[0], across[-1] + 1, down[-1] + 1])


def checked(encoded, box, pixels, seen):
    """A half of one of the net's pixels is lost to whole edges, and the pictures' own by the JPEG format."""
    np.testing.assert_allclose(seen.to_picture(found_in(pixels)), box, atol=0.55 * max(seen.scale) + 0.5)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('orientation', [1, 6])
def test_of_pictures_that_are_fitted(size, orientation):
    for shape in ((64, 64, 3), (48, 80, 3)):
        encoded, box = drawn(*size, orientation=orientation)
        checked(encoded, box, fitted.fit(encoded, shape), view.fitted(encoded, shape))


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('upright', [False, True])
def test_of_the_centre_after_scaling(size, upright):
    decoding = Decoding(size=64, resize=73, upright=upright)
    encoded, box = drawn(*size, orientation=6 if upright else 1)
    checked(encoded, box, decoding.centre(encoded), decoding.view(encoded))
    turned, box = drawn(*size, orientation=6)
    if not upright:  # as it is stored
        assert decoding.view(turned) == decoding.view(encoded)
    how = Preprocessing(64, 73, upright=upright)
    assert how.view(turned) == decoding.view(turned)


def test_what_a_data_set_says_of_it():
    options = {
        'name': 'x', 'batch_size': 1, 'splits': {'train': 1, 'test': 1}, 'class_names': ('a', 'b'),
        'image_shape': (64, 64, 3), 'open': lambda split, folder: [], 'prepare': lambda folder, say: None,
    }  # fmt: skip
    encoded, _ = drawn(300, 200)
    decoding = Decoding(size=64, resize=73)
    assert Data(**options).view_of(encoded) == view.fitted(encoded, (64, 64, 3))
    assert Data(**options, decode=decoding.centre).view_of(encoded) == decoding.view(encoded)
    assert Data(**options, decode=lambda content: np.zeros((64, 64, 3), np.uint8)).view_of(encoded) is None
