"""Pet and VOC as they come: trees in the published forms, places after squeezing, and what a bad file costs."""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import pet, voc
from cnn_jax.data.formats.annotations import IGNORE, present
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.squeezed import Squeezing
from cnn_jax.data.scenery.small_sets import HEIGHT, WIDTH, drawn_scene
from cnn_jax.errors import DataError

SIZE = 48


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    """Small trees of both sets, where the published ones lie."""
    folder = tmp_path_factory.mktemp('sets')
    pet.write_small(folder / pet.NAME)
    voc.write_small(folder / voc.NAME)
    return folder


@pytest.fixture
def own(trees, tmp_path):
    """The same, to be changed."""
    shutil.copytree(trees, tmp_path / 'sets')
    return tmp_path / 'sets'


def test_squeezing_moves_boxes_and_classes_with_the_pixels():
    how, picture = Squeezing(SIZE), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    box = np.array([20.0, 12.0, 44.0, 60.0])
    picture[12:60, 20:44] = 255
    encoded = _png(picture)
    left, top, right, bottom = how.boxes(box, (WIDTH, HEIGHT))
    assert (left, top, right, bottom) == (10, 8, 22, 40)
    expected = np.zeros((SIZE, SIZE), bool)
    expected[8:40, 10:22] = True
    np.testing.assert_array_equal(how.pixels(encoded)[..., 0] > 127, expected)
    np.testing.assert_array_equal(how.classes((picture[..., 0] > 0).astype(np.uint8)) > 0, expected)
    np.testing.assert_allclose(how.view(encoded).to_picture(np.array([left, top, right, bottom])), box)


def _png(picture: np.ndarray) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, 'PNG')
    return buffer.getvalue()


def test_pet_has_breeds_boxes_and_outlines(trees):
    where = pet.load(batch_size=2, image_size=SIZE, validation=0).open('train', trees)
    masks = pet.load(batch_size=2, answer='segmentation', image_size=SIZE, validation=0).open('train', trees)
    assert len(where) == len(masks) == pet.SMALL['train']
    for row in range(5):
        scene = drawn_scene(row, (1, 1))
        assert where[row]['label'] == scene['label']
        factors = np.array([SIZE / WIDTH, SIZE / HEIGHT] * 2)
        rows, columns = np.nonzero(scene['segmentation'])
        edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        np.testing.assert_allclose(where[row]['boxes'][0], edges * factors, rtol=1e-6)
        found = masks[row]['segmentation'] == pet.ANIMAL
        inside = found.nonzero()
        left, top, right, bottom = where[row]['boxes'][0]
        assert left - 1 <= inside[1].min() <= inside[1].max() <= right
        assert top - 1 <= inside[0].min() <= inside[0].max() <= bottom


def test_the_border_of_a_trimap_counts_as_neither(own):
    file = next((own / pet.NAME / 'annotations' / 'trimaps').glob('*.png'))
    trimap = np.array(Image.open(file))
    trimap[0] = 3
    Image.fromarray(trimap).save(file)
    rows = pet.load(batch_size=2, answer='segmentation', image_size=SIZE, validation=0)
    assert any((rows.open(split, own)[row]['segmentation'] == IGNORE).any() for split, row in _rows(rows, own))


def _rows(data, folder):
    return [(split, row) for split in data.splits for row in range(len(data.open(split, folder)))]


def test_voc_has_boxes_classes_and_difficult_ones(trees):
    source = voc.load(batch_size=2, image_size=SIZE, validation=0).open('test', trees)
    assert len(source) == voc.SMALL['test']
    first = voc.SMALL['train']
    difficult = 0
    for row in range(len(source)):
        scene, found = drawn_scene(first + row, (0, 3)), source[row]
        count = len(scene['boxes'])
        assert present(found['boxes']).sum() == count
        np.testing.assert_array_equal(found['box_label'][:count], scene['box_label'])
        factors = np.array([SIZE / WIDTH, SIZE / HEIGHT] * 2)
        np.testing.assert_allclose(found['boxes'][:count], scene['boxes'] * factors, atol=1e-5)
        difficult += int(found['crowd'].sum())
    assert difficult > 0


def test_voc_masks_are_those_of_the_files(trees):
    source = voc.load(batch_size=2, answer='segmentation', image_size=WIDTH, validation=0).open('test', trees)
    assert {int(number) for row in source for number in np.unique(row['segmentation'])} <= {*range(11)}
    assert any(row['segmentation'].any() for row in source)


BOX = '<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>'


@pytest.mark.parametrize(
    ('inside', 'words'),
    [
        ('<object><name>cat</name>' + BOX.format(1, 1, 97, 5) + '</object>', 'object 1 .* box 1 1 97 5 on 96 x 72'),
        ('<object><name>cat</name>' + BOX.format(9, 1, 5, 5) + '</object>', 'box 9 1 5 5'),
        ('<object><name>cat</name>' + BOX.format('x', 1, 5, 5) + '</object>', 'no box of four numbers'),
        ('<object><name>cat</name></object>', 'no box of four numbers'),
        ('<object><name>unicorn</name>' + BOX.format(1, 1, 5, 5) + '</object>', "class 'unicorn' is none of VOC"),
        ('<object>', 'is no XML'),
    ],
)
def test_a_bad_annotation_says_what_is_wrong(inside, words):
    with pytest.raises(BadImage, match=words):
        voc.read_annotation(f'<annotation>{inside}</annotation>'.encode(), (WIDTH, HEIGHT))


def test_an_annotation_expands_nothing():
    bomb = b'<!DOCTYPE a [<!ENTITY b "' + b'x' * 100 + b'">]><annotation>&b;</annotation>'
    with pytest.raises(BadImage, match='document type'):
        voc.read_annotation(bomb, (WIDTH, HEIGHT))


def test_the_first_pixel_of_voc_is_one():
    inside = '<object><name>dog</name>' + BOX.format(1, 1, 96, 72) + '</object>'
    (found,) = voc.read_annotation(f'<annotation>{inside}</annotation>'.encode(), (WIDTH, HEIGHT))
    assert found == ((0, 0, WIDTH, HEIGHT), voc.CLASS_NAMES.index('dog'), False)


def test_bad_files_are_left_out_and_named_or_are_too_many(own, monkeypatch, caplog):
    images = sorted((own / pet.NAME / 'images').glob('*.jpg'))
    names = (own / pet.NAME / 'annotations' / 'trainval.txt').read_text(encoding='utf-8').split()[::4]
    (own / pet.NAME / 'images' / f'{names[3]}.jpg').write_bytes(b'GIF89a, renamed')
    data = pet.load(batch_size=2, image_size=SIZE, validation=0)
    with pytest.raises(DataError, match=f'1 of 40 pictures of {pet.NAME} train are bad, more than 0.5%: {names[3]} '):
        data.open('train', own)
    monkeypatch.setattr(pet, 'MAX_BAD', 0.1)
    data = pet.load(batch_size=2, image_size=SIZE, validation=0)
    with caplog.at_level(logging.WARNING):
        source = data.open('train', own)
    assert len(source) == len(names) - 1
    assert names[3] in caplog.text
    images[0].unlink()
    with pytest.raises(DataError, match=f'cannot read .*{images[0].name}'):
        [data.open(split, own) for split in data.splits]


def test_a_mask_of_another_size_is_named(own, monkeypatch, caplog):
    monkeypatch.setattr(voc, 'MAX_BAD', 0.5)
    root = own / voc.NAME / 'VOC2012'
    name = (root / 'ImageSets' / 'Segmentation' / 'val.txt').read_text(encoding='utf-8').split()[0]
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(root / 'SegmentationClass' / f'{name}.png')
    with caplog.at_level(logging.WARNING):
        voc.load(batch_size=2, answer='segmentation', image_size=SIZE, validation=0).open('test', own)
    assert f'VOC2012 {name}: its mask has the shape (5, 7), the photograph (72, 96)' in caplog.text


@pytest.mark.parametrize('load', [pet.load, voc.load])
def test_what_is_not_there_says_what_to_do(load, tmp_path):
    with pytest.raises(DataError, match=r'unpack .* --mode=prepare'):
        load(batch_size=2).open('train', tmp_path)


def test_a_list_of_another_set_is_refused(own):
    file = own / pet.NAME / 'annotations' / 'test.txt'
    file.write_text(file.read_text(encoding='utf-8') + 'Siamese_1 4 1 1\n', encoding='utf-8')
    with pytest.raises(DataError, match=r"test.txt, line 17: 'Siamese_1 4 1 1'"):
        pet.load(batch_size=2).open('test', own)


def test_prepare_counts_and_says_what_is_missing(trees):
    said = []
    pet.load(batch_size=2, image_size=SIZE).prepare(trees, said.append)
    assert any('pet train: 40 pictures' in line and 'NOT the 3,680 published ones' in line for line in said)
