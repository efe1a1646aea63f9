"""Arrays as a source: what people have in a notebook is taken as it is, or is one line with the conversion."""

import logging
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data import arrays, pipeline
from cnn_jax.data.formats.remembered import Remembered, remembering
from cnn_jax.errors import CnnJaxError, DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 6, 5, 3)).astype(np.uint8)
LABELS = np.arange(60) % 3
NAMES = np.array(['cat', 'dog', 'eel'])


def load(images: Any = IMAGES, labels: Any = LABELS, **options):
    return arrays.load(batch_size=4, images=images, labels=labels, **options)


def rows(data, split):
    return pipeline.load_arrays(data.open(split, Path()), data.row_fields)


def as_set(found):
    return {(image.tobytes(), int(label)) for image, label in zip(found['image'], found['label'], strict=True)}


EVERY = {(image.tobytes(), int(label)) for image, label in zip(IMAGES, LABELS, strict=True)}


@pytest.mark.parametrize('labels', [LABELS, LABELS.tolist(), LABELS.astype(np.uint8), LABELS[:, None], NAMES[LABELS],
                                    NAMES.astype(object)[LABELS], jnp.asarray(LABELS)])  # fmt: skip
def test_each_image_is_in_one_split_with_its_label(labels):
    data = load(labels=labels)
    parts = {split: rows(data, split) for split in ('train', 'validation', 'test')}
    assert (
        data.splits
        == {'train': 43, 'validation': 5, 'test': 12}
        == {split: len(part['label']) for split, part in parts.items()}
    )
    sets = [as_set(part) for part in parts.values()]
    assert sum(map(len, sets)) == 60
    assert set.union(*sets) == EVERY
    assert data.class_names == (('cat', 'dog', 'eel') if np.asarray(labels).dtype.kind in 'UO' else ('0', '1', '2'))
    assert data.image_shape == (6, 5, 3)


def test_an_image_keeps_its_side_in_another_order():
    order = RNG.permutation(60)
    one, other = load(), load(IMAGES[order], LABELS[order])
    for split in one.splits:
        assert as_set(rows(one, split)) == as_set(rows(other, split))
    halves = load(validation=0.5)  # each with some of every class, so that none is lent
    folds = [as_set(rows(halves.with_fold(fold), 'validation')) for fold in range(halves.folds)]
    assert sum(map(len, folds)) == 48 == len(set.union(*folds))


def test_its_own_test_images_stay(caplog):
    data = load(IMAGES[:50], LABELS[:50], test_images=IMAGES[45:], test_labels=LABELS[45:], validation=0.0)
    np.testing.assert_array_equal(rows(data, 'test')['image'], IMAGES[45:])
    assert data.splits == {'train': 50, 'test': 15}
    assert '5 of 15 test images are training images too, such as row 0' in caplog.text


def test_several_labels():
    flags = RNG.random((60, 4)) < 0.5
    data = load(labels=flags, class_names=['a', 'b', 'c', 'd'])
    found = rows(data, 'train')['labels']
    assert (found.dtype, found.shape[1], data.class_names) == (bool, 4, ('a', 'b', 'c', 'd'))
    images = {image.tobytes(): row for image, row in zip(IMAGES, flags, strict=True)}
    for image, row in zip(rows(data, 'test')['image'], rows(data, 'test')['labels'], strict=True):
        np.testing.assert_array_equal(images[image.tobytes()], row)


def test_one_channel_needs_no_axis():
    assert load(IMAGES[..., 0]).image_shape == (6, 5, 1)


@pytest.mark.parametrize('keras', [False, True])
def test_files(tmp_path, keras, caplog):
    names = ['x_train', 'y_train', 'x_test', 'y_test'] if keras else ['images', 'labels', 'test_images', 'test_labels']
    parts = [IMAGES[:50], LABELS[:50], IMAGES[50:], LABELS[50:]]
    more = {} if keras else {'class_names': NAMES, 'note': np.zeros(1)}
    np.savez(tmp_path / 'set.npz', **dict(zip(names, parts, strict=True)), **more)
    with caplog.at_level(logging.INFO):
        data = arrays.load(file=str(tmp_path / 'set.npz'), batch_size=4)
    assert (data.num_test, data.class_names) == (10, ('0', '1', '2') if keras else ('cat', 'dog', 'eel'))
    assert ('arrays that are not looked at: note' in caplog.text) != keras


def test_a_class_of_no_image_is_said(caplog):
    load(labels=LABELS + 1)
    assert 'labels: classes of no training image: 1: 0' in caplog.text


def flag(place, value):
    changed = LABELS.copy()
    changed[place] = value
    return changed


UNIT = IMAGES / np.float32(255)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({'images': None}, 'images: none given; give images and labels, or file'),
        ({'labels': None}, 'labels: none given'),
        ({'images': UNIT}, r'images: got float32 \(60, 6, 5, 3\); .*: np.round\(255 \* images\).astype\(np.uint8\)'),
        ({'images': IMAGES.astype(float)}, r': images.round\(\).astype\(np.uint8\)'),
        ({'images': IMAGES.astype(int)}, r': images.astype\(np.uint8\)'),
        ({'images': IMAGES.astype(int) * 2}, 'the values go from 0 to 510'),
        ({'images': UNIT - 0.5}, 'undo what was done to them'),
        ({'images': np.where(IMAGES > 250, np.nan, UNIT)}, r'values are not finite, mend these first'),
        ({'images': IMAGES > 100}, r': 255 \* images.astype\(np.uint8\)'),
        ({'images': IMAGES[0, 0]}, r'got uint8 \(5, 3\)'),
        ({'images': IMAGES[:0]}, r'got uint8 \(0, 6, 5, 3\)'),
        ({'images': np.zeros((60, 3, 8, 8), np.uint8)}, r'np.moveaxis\(images, 1, -1\)'),
        ({'images': [IMAGES[0], IMAGES[1, :3]]}, 'images: they are no array.*; give all one size'),
        ({'labels': LABELS[:59]}, 'labels: 59 for 60 images; give one for each'),
        ({'labels': flag(7, -1)}, 'labels: row 7 is -1; a class is at least 0'),
        ({'labels': flag(7, 3), 'class_names': NAMES}, 'labels: row 7 is 3; a class is from 0 to 2'),
        ({'labels': flag(7, 9999)}, 'the largest is 9,999, of 60 images'),
        ({'labels': 0 * LABELS}, 'labels: all are 0'),
        ({'labels': ['cat'] * 60}, "labels: all are 'cat'"),
        ({'labels': LABELS.astype(float)}, r'labels: got float64 \(60,\); classes are whole numbers: labels.astype'),
        ({'labels': np.where(LABELS, LABELS, np.nan)}, 'some are not a number'),
        ({'labels': LABELS > 0}, r'of two classes give numbers: labels.astype\(int\)'),
        ({'labels': np.eye(3, dtype=int)[LABELS]}, r'labels.argmax\(1\); where it may have several labels.astype'),
        ({'labels': np.array([None] * 60)}, r'got object \(60,\); needed are int'),
        ({'labels': [[1], [1, 2]]}, 'labels: they are no array'),
        ({'class_names': ['a', 'a', 'b']}, 'class_names: got a, a, b; needed are at least 2, all different'),
        ({'labels': NAMES[LABELS], 'class_names': ['cat', 'dog']}, "row 2 is 'eel', which class_names has not"),
        ({'labels': np.eye(3, dtype=bool)[LABELS], 'class_names': ['a', 'b']}, 'labels: 3 classes a row, .* 2;'),
        ({'test_images': IMAGES}, 'test_images and test_labels: one of them is given'),
        ({'test_images': IMAGES[:, 1:], 'test_labels': LABELS}, 'make them of one size'),
        ({'test_images': IMAGES, 'test_labels': NAMES[LABELS]}, 'test_labels: <U3 .* give one kind'),
        ({'test_images': IMAGES[:9], 'test_labels': LABELS}, 'test_labels: 60 for 9 images'),
        ({'test_images': UNIT, 'test_labels': LABELS}, r'test_images: got float32 .*255 \* test_images'),
        ({'images': IMAGES[:2], 'labels': [0, 1]}, 'images: 2 are too few to divide'),
        ({'test_fraction': 0.0}, r'test_fraction: got 0\.0'),
        ({'validation': 0.9}, r'validation: got 0\.9'),
        ({'file': 'x.npz'}, 'give either a file or arrays'),
    ],
)
def test_mistakes_say_how_to_convert(given, message):
    with pytest.raises(CnnJaxError, match=message) as caught:
        load(**given)
    assert '\n' not in str(caught.value)


def test_test_labels_that_training_has_not():
    with pytest.raises(CnnJaxError, match="test_labels: row 0 is 'ant', which the training labels have not"):
        load(labels=NAMES[LABELS], test_images=IMAGES, test_labels=['ant'] * 60)


def test_files_that_are_none(tmp_path):
    np.savez(tmp_path / 'other.npz', a=IMAGES)
    np.savez(tmp_path / 'objects.npz', images=IMAGES, labels=np.array([{}] * 60))
    np.save(tmp_path / 'one.npy', IMAGES)
    (tmp_path / 'text.npz').write_text('none', encoding='utf-8')
    whole = (tmp_path / 'other.npz').read_bytes()
    (tmp_path / 'cut.npz').write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ('nowhere.npz', 'cannot read .*: No such file or directory'),
        ('other.npz', 'has the arrays a; needed are images and labels, or x_train and y_train'),
        ('objects.npz', 'no .npz file of plain arrays: .*; write it with np.savez'),
        ('one.npy', 'not a zip file'),
        ('text.npz', 'no .npz file of plain arrays'),
        ('cut.npz', 'no .npz file of plain arrays'),
    ):
        with pytest.raises(DataError, match=message) as caught:
            arrays.load(file=str(tmp_path / name), batch_size=2)
        assert '\n' not in str(caught.value)


def test_a_run_remembers_arrays_that_are_gone(tmp_path):
    splits = {'train': 9, 'validation': 2, 'test': 3}
    known = Remembered(('cat', 'dog'), splits, tmp_path, ('labels',), (6, 5, 3))
    with remembering(known):
        gone = arrays.load(file='gone.npz', batch_size=2)
    assert (gone.splits, gone.class_names, gone.image_shape) == (splits, ('cat', 'dog'), (6, 5, 3))
    assert (list(gone.row_fields), gone.with_fold(3).fold) == (['labels'], 3)
    with pytest.raises(DataError, match=r'cannot read .*gone.npz'):
        gone.open('test', tmp_path)
    with remembering(known._replace(image_shape=None)), pytest.raises(DataError, match=r'cannot read .*gone.npz'):
        arrays.load(file='gone.npz', batch_size=2)
