"""Numbers in words: one form each, on the console and on pages."""

import math
import unicodedata

import pytest

from cnn_jax.drawing.words import duration, one_line, percent, printable, short_count


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (0, '0.0 s'),
        (3.21, '3.2 s'),
        (8.4, '8.4 s'),
        (9.94, '9.9 s'),
        (9.96, '10 s'),
        (12.3, '12 s'),
        (59.4, '59 s'),
        (59.6, '1 min 00 s'),
        (200, '3 min 20 s'),
        (312, '5 min 12 s'),
        (3599.7, '1 h 00 min'),
        (7500, '2 h 05 min'),
        (math.nan, '-'),
        (math.inf, '-'),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_shares_and_counts():
    assert [percent(value) for value in (0.9, 0.98889, 0.9975, 1.0)] == ['90.0 %', '98.9 %', '99.75 %', '100.0 %']
    assert [percent(value, 0) for value in (0.63, 0.999)] == ['63 %', '100 %']
    assert [short_count(value) for value in (61_706, 416_520, 138_357_544, 15_470_264_320)] == [
        *('61,706', '416,520'),
        *('138.4 M', '15.5 G'),
    ]


def test_what_a_terminal_obeys_is_shown_as_an_escape():
    assert printable('a\tb\né 猫 🐈') == 'a\tb\né 猫 🐈'
    assert printable('\x1b[2J\r\x9b\u202e\udcff\x00') == r'\x1b[2J\r\x9b\u202e\udcff\x00'
    controls = [chr(number) for number in range(0x11000) if unicodedata.category(chr(number)) in ('Cc', 'Cs')]
    assert all(printable(letter).isascii() and printable(letter).isprintable() for letter in {*controls} - {*'\t\n'})
    assert one_line(' a\n\x07b ') == r'a \x07b'
