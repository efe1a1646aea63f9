"""Made-up data: any shape, the same every time, and a name that says what it is."""

from pathlib import Path

import numpy as np
import pytest

from cnn_jax.data import pipeline, synthetic
from cnn_jax.errors import CnnJaxError

NOWHERE = Path('/nonexistent')


def test_shapes_and_name():
    data = synthetic.load(batch_size=4, image_shape=(8, 6, 1), num_classes=3, num_train=7, num_test=5)
    assert 'SYNTHETIC' in data.name
    arrays = pipeline.load_arrays(data.open('train', NOWHERE))
    assert arrays['image'].shape == (7, 8, 6, 1)
    np.testing.assert_array_equal(arrays['label'], [0, 1, 2, 0, 1, 2, 0])
    lines = []
    data.prepare(NOWHERE, lines.append)
    assert len(lines) == 1
    assert 'SYNTHETIC' in lines[0]


def test_there_are_as_many_classes_as_names():
    data = synthetic.load(batch_size=4, class_names=('cat', 'dog', 'tree'))
    assert pipeline.load_arrays(data.open('train', NOWHERE))['label'].max() == 2
    with pytest.raises(CnnJaxError, match='num_classes: got 4 and 3 class_names'):
        synthetic.load(batch_size=4, num_classes=4, class_names=('cat', 'dog', 'tree'))


def test_rows_are_fixed_and_splits_differ():
    data = synthetic.load(batch_size=4)
    first, second, test = (pipeline.load_arrays(data.open(split, NOWHERE)) for split in ('train', 'train', 'test'))
    np.testing.assert_array_equal(first['image'], second['image'])
    assert len(np.unique(np.concatenate([first['image'], test['image']]), axis=0)) == data.num_train + data.num_test


def test_classes_can_be_told_apart():
    data = synthetic.load(batch_size=4, image_shape=(16, 16, 1))
    train, test = (pipeline.load_arrays(data.open(split, NOWHERE)) for split in ('train', 'test'))
    flat = [arrays['image'].reshape(len(arrays['image']), -1).astype(float) for arrays in (train, test)]
    nearest = np.argmin(((flat[1][:, None] - flat[0][None]) ** 2).sum(axis=-1), axis=1)
    np.testing.assert_array_equal(train['label'][nearest], test['label'])
