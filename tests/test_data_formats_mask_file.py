"""A mask file has the class of each pixel, in VOC's colours."""

import io

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data.formats import mask_file


def test_a_reader_finds_the_numbers_and_the_colours():
    segmentation = np.random.default_rng(0).integers(0, 256, (9, 13))
    segmentation[0, :3] = 0, 1, 255
    with Image.open(io.BytesIO(mask_file.encode(segmentation))) as picture:
        assert (picture.format, picture.mode, picture.size) == ('PNG', 'P', (13, 9))
        np.testing.assert_array_equal(np.asarray(picture), segmentation)
        colours = np.asarray(picture.convert('RGB'))
    np.testing.assert_array_equal(colours, mask_file.palette()[segmentation])


def test_the_colours_are_those_of_voc():
    """As its development kit lists them: aeroplane, bicycle, bird, ..., cat, ..., tv/monitor, and the border."""
    known = {
        0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 8: (64, 0, 0),
        15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192),
    }  # fmt: skip
    assert {number: tuple(mask_file.palette()[number].tolist()) for number in known} == known
    assert len(np.unique(mask_file.palette(), axis=0)) == 256


@pytest.mark.parametrize('number', [-1, 256])
def test_what_a_pixel_cannot_be_is_refused(number):
    with pytest.raises(ValueError, match='an indexed PNG file has 0 to 255'):
        mask_file.encode(np.array([[0, number]]))
