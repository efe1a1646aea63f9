"""Pictures without labels: crops that are pure functions, folders of one's own, and files that cannot be read."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import unlabelled
from cnn_jax.data.formats.remembered import Remembered, remembering
from cnn_jax.errors import CnnJaxError, DataError


@pytest.fixture
def folder(tmp_path):
    """Twelve flat pictures of different colours, one of them in a folder of its own, and what is none."""
    place = tmp_path / 'mine'
    (place / 'inner').mkdir(parents=True)
    for number in range(12):
        where = place / 'inner' if number == 5 else place
        Image.new('RGB', (40 + number, 30), (20 * number, 10, 0)).save(where / f'{number}.png')
    (place / 'notes.txt').write_text('none')
    return place


def colours(source) -> list[int]:
    return sorted({int(source[row]['image'][0, 0, 0]) for row in range(len(source))})


def test_bundled_crops_are_pure_functions_and_the_test_photographs_are_others(data_dir):
    data = unlabelled.load(batch_size=4, image_size=32)
    assert data.splits == {'train': 128, 'validation': 8, 'test': 16}
    assert data.row_fields == {}
    source: Any = data.open('train', data_dir)
    first, again, later = (source.read_random([0, 7], epochs=[epoch, epoch], seed=3) for epoch in (0, 0, 1))
    for one, other, third in zip(first, again, later, strict=True):
        assert one['image'].shape == (32, 32, 3)
        np.testing.assert_array_equal(one['image'], other['image'])
        assert (one['image'] != third['image']).any()
    test = data.open('test', data_dir)
    np.testing.assert_array_equal(test[3]['image'], test[3]['image'])
    assert (test[1]['image'] != test[3]['image']).any()  # another crop of the same photograph


def test_a_folder_is_read_however_deep_and_each_file_is_in_one_split(folder, data_dir):
    data = unlabelled.load(batch_size=4, image_size=16, folder=str(folder), test_fraction=0.25)
    assert data.splits == {'train': 6, 'validation': 3, 'test': 3}
    found = [color for split in data.splits for color in colours(data.open(split, data_dir))]
    assert sorted(found) == [20 * number for number in range(12)]
    assert data.read_file((folder / '3.png').read_bytes()).shape == (16, 16, 3)  # a prediction reads it whole


def test_a_bad_file_is_passed_over_and_counted(folder, data_dir, caplog):
    for number in range(4):
        (folder / f'{number}.png').write_bytes(b'no image')
    data = unlabelled.load(batch_size=4, image_size=16, folder=str(folder), max_bad_images=0.9)
    source: Any = data.open('train', data_dir)
    made = source.read_random(range(10), epochs=[0] * 10, seed=0)
    assert all(one['image'].shape == (16, 16, 3) for one in made)
    assert 'the next one is taken' in caplog.text
    strict = unlabelled.load(batch_size=4, image_size=16, folder=str(folder), max_bad_images=0.0)
    source = strict.open('train', data_dir)
    with pytest.raises(DataError, match='bad image'):
        source.read_random(range(10), epochs=[0] * 10, seed=0)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        ({'image_size': 8}, 'image_size: got 8; it is at least 16'),
        ({'test_fraction': 0.0}, 'test_fraction: got 0.0'),
        ({'folder': 'nowhere'}, r'nowhere is not there; give a folder of pictures'),
    ],
)
def test_a_mistake_is_one_line(options, line):
    with pytest.raises(CnnJaxError, match=line) as raised:
        unlabelled.load(batch_size=4, **options)
    assert '\n' not in str(raised.value)


def test_a_run_is_made_again_without_its_folder(tmp_path, data_dir):
    with remembering(Remembered((), {'train': 7, 'test': 2}, tmp_path)):
        data = unlabelled.load(batch_size=4, folder='gone')
        assert data.splits == {'train': 7, 'test': 2}
        with pytest.raises(DataError, match='is not there any more'):
            data.open('train', data_dir)
