"""DIV2K's folders: blocks that are where both pictures say, and files that are bad or missing by name."""

import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import div2k
from cnn_jax.data.formats.shrunk import HIGH, pack, shrink, unpack
from cnn_jax.errors import CnnJaxError, DataError

OPTIONS: dict[str, Any] = {'batch_size': 2, 'size': 48, 'held_out': 2}


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    home = tmp_path_factory.mktemp('div2k')
    div2k.write_small(home / div2k.NAME)
    return home


@pytest.fixture
def own(tree, tmp_path):
    """A copy that may be damaged; what was prepared of the other one is not in it."""
    return shutil.copytree(tree, tmp_path / 'own', ignore=shutil.ignore_patterns('*.npz', '*.images', '*.LOCK'))


def pictures(home, split, scale):
    return [
        [np.asarray(Image.open(file)) for file in one.files]
        for one in div2k.list_pictures(home / div2k.NAME, split, scale, 2)
    ]


@pytest.mark.parametrize('scale', [1, 2, 3, 4])
def test_a_pair_comes_back_from_what_is_kept(scale):
    rng = np.random.default_rng(scale)
    small, large = (rng.integers(0, 256, (4 * by, 5 * by, 3), np.uint8) for by in (1, scale))
    for one, other in zip(unpack(pack(small, large), scale), (small, large), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_blocks_are_the_same_place_of_both_pictures(tree, scale):
    source = div2k.load(**OPTIONS, scale=scale).open('test', tree)
    assert len(source) == 2 * 15
    for number, (large, small) in enumerate(pictures(tree, 'test', scale)):
        tops, lefts = (np.linspace(0, room - 48 // scale, count).round().astype(int) for room, count in
                       ((small.shape[0], 3), (small.shape[1], 5)))  # fmt: skip
        places = [(top, left) for top in tops for left in lefts]
        assert places[0] == (0, 0)
        assert places[-1] == (small.shape[0] - 48 // scale, small.shape[1] - 48 // scale)  # the whole picture is seen
        for (top, left), row in zip(places, (source[15 * number + place] for place in range(15)), strict=True):
            side = 48 // scale
            np.testing.assert_array_equal(row['image'], small[top : top + side, left : left + side])
            high = large[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
            np.testing.assert_array_equal(row[HIGH], high)


def test_no_picture_is_in_two_splits(tree):
    data = div2k.load(**OPTIONS)
    listed = {split: div2k.list_pictures(tree / div2k.NAME, split, 2, 2) for split in data.splits}
    names = [picture.files[0] for found in listed.values() for picture in found]
    assert len(names) == len(set(names)) == 8
    assert [picture.name for picture in listed['validation']] == ['DIV2K_train 0005', 'DIV2K_train 0006']
    assert {split: len(data.open(split, tree)) for split in data.splits} == {'train': 96, 'validation': 30, 'test': 30}
    assert div2k.load(batch_size=2).splits == {'train': 790 * 24, 'validation': 150, 'test': 1500}
    assert 'validation' not in div2k.load(batch_size=2, held_out=0).splits


def test_tall_pictures_have_the_grid_turned(tmp_path):
    tall = np.zeros((168, 120, 3), np.uint8)
    tall[:, :60] = 200
    for name, pixels in (('large', tall), ('small', shrink(tall, 2))):
        Image.fromarray(pixels).save(tmp_path / f'{name}.png')
    picture = div2k.Picture('tall', (tmp_path / 'large.png', tmp_path / 'small.png'))
    rows = div2k.read_blocks(picture, scale=2, size=48, grid=(3, 5))
    assert len(rows) == 15
    assert [bool(unpack(row['image'], 2)[1][0, 0, 0]) for row in rows] == [True, True, False] * 5


def test_what_is_missing_says_what_to_unpack(own):
    shutil.rmtree(own / 'DIV2K' / 'DIV2K_train_LR_bicubic' / 'X3')
    with pytest.raises(
        DataError, match=r'unpack DIV2K_train_HR.zip and DIV2K_train_LR_bicubic_X3.zip .*--mode=prepare'
    ):
        div2k.load(**OPTIONS, scale=3).open('train', own)
    (own / 'DIV2K' / 'DIV2K_valid_LR_bicubic' / 'X2' / '0007x2.png').unlink()
    with pytest.raises(DataError, match=r'0007x2\.png'):
        div2k.load(**OPTIONS).open('test', own)
    with pytest.raises(DataError, match='too few PNG files for train'):
        div2k.load(**(OPTIONS | {'held_out': 6})).open('train', own)


def test_bad_pictures_are_named(own):
    folder = own / 'DIV2K'
    (folder / 'DIV2K_valid_HR' / '0007.png').write_bytes(b'no image')
    file = folder / 'DIV2K_valid_LR_bicubic' / 'X2' / '0008x2.png'
    Image.open(file).crop((0, 0, 80, 60)).save(file)
    with pytest.raises(DataError) as caught:
        div2k.load(**OPTIONS).open('test', own)
    message = str(caught.value)
    assert 'DIV2K_valid 0007: ' in message
    assert 'DIV2K_valid 0008: it has 168 x 120 pixels and its small one 80 x 60; that is not 2 times' in message
    with pytest.raises(DataError, match='it has 168 x 120 pixels, less than a block of 384'):
        div2k.load(batch_size=2, held_out=2).open('train', own)


def test_prepare_counts_against_the_published_pictures(tree):
    said = []
    div2k.load(**OPTIONS).prepare(tree, said.append)
    assert said[0] == f'div2k train: 96 blocks below {tree}, NOT the 19,152 of the published pictures'


def test_values_out_of_range_are_named():
    with pytest.raises(CnnJaxError, match='held_out: got 800; it is 0 to 799 pictures'):
        div2k.load(batch_size=2, held_out=800)
    with pytest.raises(CnnJaxError, match='scale: got 8'):
        div2k.load(batch_size=2, scale=8)
