"""Random boxes: inside the image, of the shares and ratios they promise, functions of (seed, epoch, index) alone."""

import io

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data.formats import crops
from cnn_jax.data.formats.encoded import Decoding

CROPS = [crops.random_resized, crops.scale_jitter, crops.alexnet, crops.centre]


@pytest.mark.parametrize('crop', CROPS)
@pytest.mark.parametrize('shape', [(375, 500), (500, 375), (1, 400), (400, 1), (3, 2), (1, 1), (4000, 3000)])
def test_boxes_are_inside(crop, shape):
    height, width = shape
    for index in range(200):
        top, left, high, wide = crop(crops.generator(0, 0, index), height, width)
        assert top >= 0
        assert left >= 0
        assert high >= 1
        assert wide >= 1
        assert top + high <= height
        assert left + wide <= width


def test_a_box_is_a_function_of_seed_epoch_and_index():
    def box(*key):
        return crops.random_resized(crops.generator(*key), 300, 400)

    keys = [(seed, epoch, index) for seed in (0, 1, 2**40) for epoch in (0, 1, 90) for index in (0, 1, 1_281_166)]
    assert len({box(*key) for key in keys}) == len(keys)
    assert [box(*key) for key in keys] == [box(*key) for key in keys]


def test_a_generator_that_is_set_back_is_a_new_one():
    start = crops.generators(7)
    start(3, 1).random(5)
    start(3, 1).integers(0, 9, 3, np.uint32)  # leaves half a word behind
    for epoch, index in ((3, 2), (0, 0), (3, 2)):
        words = np.random.Philox(key=[7, crops.STREAM], counter=[0, 0, epoch, index])
        np.testing.assert_array_equal(start(epoch, index).random(9), np.random.Generator(words).random(9))


def test_golden_boxes():
    """A resumed run and a new release must crop as the old one did."""
    boxes = [crops.random_resized(crops.generator(3, 1, index), 375, 500) for index in range(3)]
    assert boxes == [(31, 196, 274, 290), (98, 93, 262, 333), (6, 143, 237, 195)]


def test_random_resized_has_the_shares_and_ratios_of_torchvision():
    boxes = np.array([crops.random_resized(crops.generator(0, 0, index), 1000, 1000) for index in range(4000)])
    area, ratio = boxes[:, 2] * boxes[:, 3] / 1e6, boxes[:, 3] / boxes[:, 2]
    assert area.min() > 0.079
    assert 0.98 < area.max() < 1.0
    assert 3 / 4 - 0.01 < ratio.min() < 0.77
    assert 1.30 < ratio.max() < 4 / 3 + 0.01
    assert abs(np.log(ratio).mean()) < 0.01  # symmetric: as many wide as high
    small = area < 0.5  # below, nothing is ever refused: uniform
    assert np.abs(np.sort((area[small] - 0.08) / 0.42) - np.linspace(0, 1, small.sum())).max() < 0.035
    places = boxes[:, 0] / np.maximum(1, 1000 - boxes[:, 2])
    assert abs(places.mean() - 0.5) < 0.02


def test_fallback_is_the_largest_centred_box():
    assert crops.random_resized(crops.generator(0, 0, 0), 10, 1000) == (0, 493, 10, 13)
    assert crops.random_resized(crops.generator(0, 0, 0), 1000, 10) == (493, 0, 13, 10)


def test_scale_jitter_is_between_its_scales():
    sides = {crops.scale_jitter(crops.generator(0, 0, index), 512, 700)[2] for index in range(500)}
    assert min(sides) == 224 or min(sides) == 225  # short side 512: 224 pixels
    assert 440 < max(sides) <= 448  # short side 256: 448 pixels
    fixed = {crops.scale_jitter(crops.generator(0, 0, index), 512, 700, short=(384, 384))[2] for index in range(9)}
    assert fixed == {round(512 * 224 / 384)}


def test_alexnet_is_in_the_central_square():
    boxes = np.array([crops.alexnet(crops.generator(0, 0, index), 256, 356) for index in range(3000)])
    np.testing.assert_array_equal(boxes[:, 2:], 224)
    assert (boxes[:, 0].min(), boxes[:, 0].max()) == (0, 32)
    assert (boxes[:, 1].min(), boxes[:, 1].max()) == (50, 82)


@pytest.mark.parametrize(('height', 'width'), [(300, 400), (512, 512), (97, 41)])
def test_the_centre_is_what_evaluation_sees(height, width):
    """The box, resized, against the image, resized and then cut; nothing of it is random."""
    rows, columns = np.meshgrid(np.linspace(0, 255, height), np.linspace(0, 255, width), indexing='ij')
    pixels = np.stack([rows, columns, rows], -1).astype(np.uint8)
    boxes = {crops.centre(np.random.default_rng(seed), height, width, resize=40, size=32) for seed in range(3)}
    ((top, left, high, wide),) = boxes
    cut = Image.fromarray(pixels[top : top + high, left : left + wide]).resize((32, 32), Image.Resampling.BILINEAR)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, 'PNG')
    expected = Decoding(size=32, resize=40).centre(encoded.getvalue())
    assert high == wide == round(min(height, width) * 32 / 40)
    assert np.abs(np.asarray(cut, int) - expected).max() <= 255 / min(height, width) * 1.5 + 2, 'within a pixel or so'
