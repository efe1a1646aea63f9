"""What a spreadsheet would compute is text in our tables, and what we read of them is what was written."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.data.formats import label_file
from cnn_jax.files.cells import FORMULA, marked, unmarked
from cnn_jax.prediction.writing import writing

TEXTS = st.one_of(st.text(max_size=6), st.text("'=+-@\t\r1.e", max_size=6))


@given(text=TEXTS)
def test_what_is_written_is_read_and_is_no_formula(text):
    assert unmarked(marked(text)) == text
    if not _is_number(text):
        assert not marked(text).startswith(FORMULA)


def _is_number(text):
    try:
        return bool(float(text)) or True
    except ValueError:
        return False


@pytest.mark.parametrize('value', [-1, -0.5, '-0.5', '+1e-3', None, 'a-b', ''])
def test_numbers_and_other_texts_stay(value):
    assert marked(value) == value


def test_predictions_can_be_read_as_labels(tmp_path):
    path, names = tmp_path / 'predictions.csv', ['=cmd().jpg', '-a.jpg', "'@b.jpg", 'c.jpg']
    with writing(path, lambda row: row) as write:
        for name in names:
            write({'file': name, 'label': '+one' if name == 'c.jpg' else 'two'})
    cells = list(csv.reader(io.StringIO(path.read_text())))
    assert not any(cell.startswith(FORMULA) for row in cells for cell in row)
    found = label_file.read(path, tmp_path)
    assert [row.file for row in found.rows] == names
    assert {label for row in found.rows for label in row.labels} == {'+one', 'two'}
