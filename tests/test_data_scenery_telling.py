"""The captions of scenes, read back: what the sentence says is where the digits stand, and each word is sure."""

import numpy as np
import pytest

from cnn_jax.data import scenes
from cnn_jax.data.formats.sentences import END, text_of
from cnn_jax.data.scenery import telling
from cnn_jax.data.scenery.objects import Object

SIDE, MOST = 48, 3
LENGTH = telling.most_words(MOST)


def digit(label, middle, side=20.0):
    middle = np.array(middle, np.float32)
    box = np.concatenate([middle - side / 2, middle + side / 2]).astype(np.float32)
    return Object(label, box, np.zeros((SIDE, SIDE), bool))


def told(*objects):
    numbers = telling.caption(objects, SIDE, LENGTH)
    return None if numbers is None else text_of(numbers[0], telling.CAPTION)


def read_back(text):
    """(count, [(size, digit, place), ...]) of a sentence, by its words alone."""
    head, _, rest = text.partition(' : ')
    number, noun = head.split()
    found = []
    for part in rest.split(' and '):
        article, size, name, *place = part.split()
        assert article == 'a'
        found.append((size, name, ' '.join(place)))
    assert noun == ('digit' if len(found) == 1 else 'digits')
    return number, found


def test_a_scene_in_words():
    found = told(digit(3, (36, 36), 10), digit(7, (12, 12)))
    assert found == 'two digits : a large seven top left and a small three bottom right'
    assert told(digit(0, (36, 12))) == 'one digit : a large zero top right'


def test_sentences_say_where_digits_stand_in_any_order():
    """Against the definition, number by number, on scenes of all counts; the order of drawing changes nothing."""
    rng, silent = np.random.default_rng(0), 0
    for _ in range(300):
        count = int(rng.integers(1, MOST + 1))
        drawn = [(int(rng.integers(10)), rng.uniform(6, 42, 2), rng.uniform(10, 22)) for _ in range(count)]
        objects = [digit(*one) for one in drawn]
        text = told(*objects)
        assert text == told(*objects[::-1])
        unsure = any(np.abs(middle - 24).min() < 1.5 or 14.5 < side < 16.5 for _, middle, side in drawn)
        assert (text is None) == unsure
        silent += unsure
        if text is None:
            continue
        number, found = read_back(text)
        right = [
            (
                'large' if side >= 16.5 else 'small',
                telling.DIGITS[label],
                f'{"top" if middle[1] < 24 else "bottom"} {"left" if middle[0] < 24 else "right"}',
            )
            for label, middle, side in drawn
        ]
        assert number == telling.DIGITS[count]
        assert sorted(found) == sorted(right)
        places = [telling.PLACES.index(place) for _, _, place in found]
        assert places == sorted(places)
    assert 30 < silent < 270


def test_the_longest_sentence_has_room_for_its_end():
    crowd = [digit(number, (36, 36), 10) for number in range(MOST)]
    numbers = telling.caption(crowd, SIDE, LENGTH)
    assert numbers is not None
    assert numbers.dtype == np.int32
    assert list(np.flatnonzero(numbers[0] == END)) == [LENGTH - 1]


@pytest.mark.parametrize('objects', [(0, 3), (1, 10), (2, 1)])
def test_counts_without_a_word_are_refused(objects):
    with pytest.raises(ValueError, match='num_objects: got'):
        scenes.load(batch_size=2, answer='caption', num_objects=objects)
