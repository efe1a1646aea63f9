"""Blocks of the bundled photographs: no pixel in two splits, and small blocks that their own large ones make."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import photograph_blocks
from cnn_jax.data.formats.shrunk import HIGH, shrink
from cnn_jax.data.photograph_blocks import PHOTOGRAPHS
from cnn_jax.errors import CnnJaxError, DataError


@pytest.mark.parametrize('size', [48, 96, 100])
@pytest.mark.parametrize('fold', [None, 0, 3])
def test_blocks_never_overlap(size, fold):
    splits = photograph_blocks._blocks(tuple(PHOTOGRAPHS), size, fold)
    assert set(splits) == {'train', 'test', 'validation'} - ({'validation'} if fold is None else set())
    taken = {name: np.zeros((one.height, one.width), int) for name, one in PHOTOGRAPHS.items()}
    for blocks in splits.values():
        assert {block.photograph for block in blocks} == {*PHOTOGRAPHS}
        for name, top, left in blocks:
            assert taken[name][top : top + size, left : left + size].shape == (size, size)
            taken[name][top : top + size, left : left + size] += 1
    assert all(count.max() == 1 for count in taken.values())


def test_folds_hold_out_each_block_once_and_never_test():
    folds = [photograph_blocks._blocks(('china',), 96, fold) for fold in range(photograph_blocks.FOLDS)]
    held = [block for splits in folds for block in splits['validation']]
    everything = photograph_blocks._blocks(('china',), 96, None)
    assert sorted(held) == sorted(everything['train'])
    assert all(splits['test'] == everything['test'] for splits in folds)


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_small_blocks_are_their_large_ones_shrunk(scale, data_dir):
    data = photograph_blocks.load(batch_size=2, scale=scale)
    assert data.image_shape == (96 // scale, 96 // scale, 3)
    rows = data.open('test', data_dir)
    for name, top, left in photograph_blocks._blocks(('china', 'flower'), 96, 0)['test'][::3]:
        pixels = photograph_blocks.read_photograph(name)[top : top + 96, left : left + 96]
        (row,) = [one for one in rows if np.array_equal(one[HIGH], pixels)]
        small = Image.fromarray(pixels).resize((96 // scale,) * 2, Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(row['image'], small)
        assert data.class_names[row['label']] == name


def test_shrinking_keeps_what_is_flat_and_averages_what_is_not():
    flat = np.full((12, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(shrink(flat, 4), np.full((3, 2, 3), 77))
    stripes = np.tile(np.array([0, 255], np.uint8), (12, 12))[..., None]
    inner = shrink(stripes, 2)[:, 2:-2]  # where the kernel, 8 pixels wide, does not reach over the border
    assert {*inner.ravel().tolist()} <= {127, 128}  # antialias: no stripe is left
    with pytest.raises(CnnJaxError, match='the scale 3 does not divide'):
        shrink(flat, 3)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'scale': 5}, 'scale: got 5; it is one of 2, 3, 4'),
        ({'size': 97}, 'size: got 97; it is a multiple of the scale 2'),
        ({'size': 400}, 'size: got 400; no block of it is left'),
        ({'fold': 4}, 'fold: got 4'),
        ({'photographs': ('china', 'paris')}, 'photographs: got china, paris; give different ones of china, flower'),
        ({'photographs': ()}, 'photographs: got none'),
    ],
)
def test_values_out_of_range_are_named(options, message):
    with pytest.raises(CnnJaxError, match=message):
        photograph_blocks.load(batch_size=2, **options)


def test_another_photograph_than_expected_is_an_error(monkeypatch):
    monkeypatch.setitem(PHOTOGRAPHS, 'china', PHOTOGRAPHS['china']._replace(height=428))
    with pytest.raises(DataError, match='427 x 640 pixels, 428 x 640 expected'):
        photograph_blocks.read_photograph('china')
