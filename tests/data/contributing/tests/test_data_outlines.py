"""What is in the small form, and what is said of a file that is something else."""

import numpy as np
import pytest

from cnn_jax.data import outlines
from cnn_jax.errors import DataError


def test_each_drawing_has_more_ink_than_those_of_the_class_before(tmp_path):
    outlines.write_small(tmp_path / outlines.NAME)
    rows = outlines.load(batch_size=4).open('test', tmp_path)
    ink = [np.mean([(row['image'] > 0).sum() for row in rows if row['label'] == label]) for label in range(4)]
    assert ink == sorted(ink)


def test_another_file_is_named(tmp_path):
    (tmp_path / outlines.NAME).mkdir()
    (tmp_path / outlines.NAME / outlines.FILE).write_text('no archive')
    with pytest.raises(DataError, match=r'outlines\.npz cannot be read \(BadArchive\); put outlines\.npz with'):
        outlines.load(batch_size=4).open('test', tmp_path)
