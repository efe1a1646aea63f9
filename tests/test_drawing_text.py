"""Text that fits: measured, shortened, broken into lines, or replaced by letters with a key."""

import numpy as np

from cnn_jax.drawing import figure, text
from cnn_jax.visualize import embedding

NAMES = {3: 'tench', 5: 'American Staffordshire terrier', 9: 'a' * 60}


def test_what_is_shortened_fits_and_keeps_the_end_that_matters():
    for inches in (0.3, 1.0, 2.0):
        for name in NAMES.values():
            for keep in ('start', 'end'):
                found = text.shortened(name, inches, 7, keep=keep)
                assert text.width_of(found, 7) <= inches
                assert found == name or found.strip('…') in name
    assert text.shortened('stage4_block3/conv2', 0.6, 7, keep='end').endswith('conv2')


def test_lines_are_as_wide_as_allowed_and_lose_no_word():
    said = 'test image 12, label soft-coated wheaten terrier, predicted American Staffordshire terrier'
    lines = text.wrapped(said, 2.0, 9)
    assert ' '.join(lines) == said
    assert all(text.width_of(line, 9) <= 2.0 for line in lines)


def test_names_that_do_not_fit_have_letters_and_a_key():
    assert text.key_of(NAMES, 9.0) == text.Key(NAMES, [])
    key = text.key_of(NAMES, 1.0)
    assert key.marks == {3: 'a', 5: 'b', 9: 'c'}
    assert key.lines[1] == 'b  American Staffordshire terrier'
    many = text.key_of(dict.fromkeys(range(1000), 'a long name of a class'), 0.5)
    assert len(set(many.marks.values())) == 1000


def test_columns_hold_all_lines_and_fit():
    lines = [f'{number}  a class' for number in range(23)]
    columns = text.columns_of(lines, 4.0)
    assert [line for column in columns for line in column] == lines
    assert len(columns) > 1
    assert sum(max(text.width_of(line, 7) for line in column) for column in columns) <= 4.0
    assert text.columns_of([], 4.0) == []
    assert text.key_height([], 4.0) == 0


def test_scales_use_their_whole_length():
    for values, low in (([0.0, 3.0], 0), ([-1.0, 3.0], -3), ([np.nan, 2.0], 0), ([0.0, 0.0], 0), ([np.nan], 0)):
        scale = figure.scale_of(np.array(values))
        assert scale.low == low
        assert scale.high > 0
        assert scale.ticks[0] == low


def test_every_class_of_an_embedding_has_a_colour_of_its_own():
    for count in (3, 8, 10, 30, 60):
        colours = embedding.palette(count)
        assert len({tuple(np.atleast_1d(colour)) for colour in colours}) == count
    groups = embedding._groups(np.repeat(np.arange(90), 2), None)
    assert groups[0].name == '30 other classes'
    assert sum(group.members.sum() for group in groups) == 180
    assert len(embedding._groups(np.arange(30), tuple(map(str, range(30))))) == 30
