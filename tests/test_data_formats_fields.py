"""What a row carries beside its image is as declared, or an error that names the row and the value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.data.formats import fields
from cnn_jax.data.formats.fields import Field
from cnn_jax.data.pipeline import Data, load_arrays
from cnn_jax.errors import CnnJaxError, DataError

CLASS = fields.of_class(10)


def stacked(name, field, values):
    return fields.stack({name: field}, [{name: value} for value in values], range(7, 7 + len(values)))[name]


@pytest.mark.parametrize(
    ('field', 'values'),
    [
        (CLASS['label'], [3, np.int64(9), np.uint8(0)]),
        (Field('float32', (2, 4)), [np.zeros((2, 4)), np.ones((2, 4), np.int32)]),
        (Field('bool', (3,)), [np.array([True, False, True])]),
        (Field('uint8', (2, 2)), [np.array([[0, 255], [1, 2]])]),
        (Field('uint8', (3,), least=0, most=4, besides=255), [np.array([0, 255, 4]), np.full(3, 255)]),
    ],
)
def test_what_fits_gets_the_declared_type(field, values):
    found = stacked('x', field, values)
    assert found.dtype == field.dtype
    assert found.shape == (len(values), *field.shape)
    np.testing.assert_array_equal(found, np.array(values))


@pytest.mark.parametrize(
    ('field', 'values', 'words'),
    [
        (CLASS['label'], [3, 10], ["row 8: 'label' is 10 ", 'at most 9']),
        (CLASS['label'], [-1, 3], ["row 7: 'label' is -1 ", 'at least 0']),
        (CLASS['label'], [3, 2.0], ["row 8: 'label' is 2.0 (float64", 'int32 ()']),
        (CLASS['label'], [True, 2], ["row 7: 'label' is True (bool"]),
        (CLASS['label'], ['3', 2], ["row 7: 'label' is 3 (<U1"]),
        (CLASS['label'], [3, np.array([0.1, 0.2, 0.5, 0.9])], ["row 8: 'label' is [0.1 0.2 0.5 0.9] (float64 (4,))"]),
        (Field('float32', (4,)), [np.zeros(4), np.zeros(3)], ["row 8: 'x'", 'float32 (4,)']),
        (Field('float32', (1,)), [np.array([np.nan])], ["row 7: 'x' is [nan]"]),
        (Field('uint8', ()), [3, 256], ["row 8: 'x' is 256"]),
        (Field('uint8', (), 0, 4, 255), [255, 5], ["row 8: 'x' is 5 ", 'at least 0 and at most 4 or 255']),
        (Field('int8', (), 0, 4, 255), [255, 4], ["row 7: 'x' is 255 "]),
        (Field('bool', (2,)), [np.array([0, 1])], ["row 7: 'x' is [0 1] (int64"]),
    ],
)
def test_what_does_not_fit_is_named_with_its_row(field, values, words):
    with pytest.raises(DataError) as caught:
        stacked('label' if 'label' in words[0] else 'x', field, values)
    for word in words:
        assert word in str(caught.value)


def test_a_field_that_is_not_there():
    with pytest.raises(DataError, match=r"row 0 has no 'boxes'; its fields are 'image', 'label'"):
        fields.stack({'boxes': Field('float32', (4,))}, [{'image': 0, 'label': 1}], [0])


@given(st.lists(st.integers(-3, 13), min_size=1, max_size=9))
def test_labels_pass_exactly_where_all_are_classes(labels):
    if all(0 <= label < 10 for label in labels):
        assert stacked('label', CLASS['label'], labels).tolist() == labels
    else:
        first = next(place for place, label in enumerate(labels) if not 0 <= label < 10)
        with pytest.raises(DataError, match=f'row {7 + first}: '):
            stacked('label', CLASS['label'], labels)


def test_a_name_that_every_batch_has():
    with pytest.raises(CnnJaxError, match="fields: 'mask' is what every batch has"):
        fields.check_names({'mask': Field('bool')})


class Rows:
    def __len__(self):
        return 5

    def __getitem__(self, row):
        return {'image': np.full((2, 2, 1), row, np.uint8), 'label': 12 if row == 3 else 1}


def test_a_label_too_large_is_found_where_the_split_is_read():
    data = Data(
        name='rows',
        batch_size=1,
        splits={'train': 5, 'test': 5},
        class_names=('a', 'b', 'c'),
        image_shape=(2, 2, 1),
        open=lambda split, folder: Rows(),
        prepare=lambda folder, say: None,
    )
    with pytest.raises(DataError, match=r"row 3: 'label' is 12 .*at most 2"):
        load_arrays(Rows(), data.row_fields)
