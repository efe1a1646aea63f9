"""A scene in words: what stands where, how large it is. Each word is sure: what lies between two words is not drawn."""

from collections.abc import Sequence

import numpy as np

from cnn_jax.data.formats.sentences import numbers_of, vocabulary
from cnn_jax.data.scenery.objects import Object

DIGITS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
SIZES = ('small', 'large')
PLACES = ('top left', 'top right', 'bottom left', 'bottom right')  # as one reads them
MARGIN = 1.5 / 48  # of the side of the scene: no digit's middle is nearer to the border between two places
SMALL, LARGE = 14.5 / 48, 16.5 / 48  # the longer side of a digit, in sides of the scene
CAPTION = vocabulary(
    word for text in (*DIGITS, *SIZES, *PLACES, 'digit digits : a and') for word in text.split()
)  # fmt: skip


def place_of(box: np.ndarray, size: int) -> int:
    """The number of the place in `PLACES` where the middle of a box is; -1 between two places."""
    middle = (box[:2] + box[2:]) / 2 / size - 0.5
    if np.abs(middle).min() < MARGIN:
        return -1
    return int(2 * (middle[1] > 0) + (middle[0] > 0))


def size_of(box: np.ndarray, size: int) -> int:
    """The number of the size in `SIZES`; -1 between the two."""
    side = float(np.max(box[2:] - box[:2])) / size
    return 0 if side <= SMALL else 1 if side >= LARGE else -1


def most_words(most: int) -> int:
    """The length of the longest caption of that many digits, with its end."""
    return 3 + 6 * most


def caption(objects: Sequence[Object], size: int, length: int) -> np.ndarray | None:
    """The sentence of a scene, int32 (1, length), in words of `CAPTION`; None of a scene that leaves a word open.

    'two digits : a large seven top left and a small three bottom right': in the order of places as one reads, those in
    one place by their class, then the small before the large.
    """
    if not objects:
        return None
    found = sorted((place_of(one.box, size), one.label, size_of(one.box, size)) for one in objects)
    if any(place < 0 or large < 0 for place, _, large in found):
        return None
    count = f'{DIGITS[len(found)]} {"digit" if len(found) == 1 else "digits"} : '
    each = (f'a {SIZES[large]} {DIGITS[label]} {PLACES[place]}' for place, label, large in found)
    return numbers_of((count + ' and '.join(each)).split(), CAPTION, length)[None]
