"""Questions about a scene with four choices each: none can be answered from the question and the choices alone.

The right answer of each kind is uniform over its values, and the wrong ones are drawn from the same law: a reader who
does not see the scene stays at a quarter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.data.formats.sentences import numbers_of, vocabulary
from cnn_jax.data.scenery.objects import Object
from cnn_jax.data.scenery.telling import DIGITS, PLACES, place_of

KINDS = ('how many', 'what', 'where', 'which is larger', 'is there')
TEXTS = (
    'how many digits are there ?', 'what is at the', 'where is the', 'which digit is the largest ?',
    'is there a or a ?', 'only the', 'both', 'neither',
)  # fmt: skip
QUESTION = vocabulary(word for text in (*DIGITS, *PLACES, *TEXTS) for word in text.split())
LONGEST, LONGEST_CHOICE = 9, 4  # words of a question and of a choice, with the end
CHOICES = 4
LARGER = 1.25  # the area of the largest digit, in areas of the next
POINTED = 2  # questions of a scene to point at

Asked = tuple[str, str, list[str]]  # question, right answer, wrong ones


def questions(objects: Sequence[Object], size: int, counts: tuple[int, int], rng: np.random.Generator) -> Any:
    """A question of each kind, in the order of `KINDS`; None of a scene that leaves one open.

    `question` int32 (5, 9), `choices` (5, 4, 4), words of `QUESTION`; `answer` (5,), the place of the right choice;
    `kind` (5,). counts: the least and the most digits that there may be, four numbers at least.
    """
    places = [place_of(one.box, size) for one in objects]
    labels = [one.label for one in objects]
    areas = sorted((float(np.prod(one.box[2:] - one.box[:2])), one.label) for one in objects)
    alone = [place for place in set(places) if places.count(place) == 1]
    single = [label for label in set(labels) if labels.count(label) == 1]
    if min(places) < 0 or areas[-1][0] < LARGER * areas[-2][0] or len({*labels}) < 2 or not alone or not single:
        return None
    place, one = int(rng.choice(alone)), int(rng.choice(single))
    asked = (
        _asked('how many digits are there ?', DIGITS[len(objects)], DIGITS[counts[0] : counts[1] + 1], rng),
        _of_class(f'what is at the {PLACES[place]} ?', labels[places.index(place)], labels, rng),
        _asked(f'where is the {DIGITS[one]} ?', PLACES[places[labels.index(one)]], PLACES, rng),
        _of_class('which digit is the largest ?', areas[-1][1], labels, rng),
        _is_there(labels, rng),
    )
    return {**_numbered(asked, rng), 'kind': np.arange(len(KINDS), dtype=np.int32)}


def pointing(objects: Sequence[Object], rng: np.random.Generator) -> Any:
    """Questions whose choices are digits of the scene; None of one with too few.

    `question` int32 (2, 9), `choice_boxes` float32 (2, 4, 4), `answer` (2,) and `kind` (2,), all 0.
    """
    labels = [one.label for one in objects]
    single = [place for place, label in enumerate(labels) if labels.count(label) == 1]
    if len(objects) < CHOICES or len(single) < POINTED:
        return None
    found: dict[str, list[Any]] = {'question': [], 'choice_boxes': [], 'answer': []}
    for right in rng.permutation(single)[:POINTED].tolist():
        others = rng.permutation([place for place in range(len(objects)) if place != right])[: CHOICES - 1]
        order = rng.permutation(np.array([right, *others]))
        text = f'where is the {DIGITS[labels[right]]} ?'
        found['question'].append(numbers_of(text.split(), QUESTION, LONGEST))
        found['choice_boxes'].append(np.stack([objects[place].box for place in order]))
        found['answer'].append(np.int32(np.flatnonzero(order == right)[0]))
    return {**{name: np.stack(values) for name, values in found.items()}, 'kind': np.zeros(POINTED, np.int32)}


def _asked(question: str, right: str, values: Sequence[str], rng: np.random.Generator) -> Asked:
    """A question whose wrong answers are any other values."""
    others = [value for value in values if value != right]
    return question, right, [others[place] for place in rng.permutation(len(others))[: CHOICES - 1]]


def _of_class(question: str, right: int, labels: Sequence[int], rng: np.random.Generator) -> Asked:
    """A question for a digit; wrong are the other digits of the scene first, so that to find one is not enough."""
    there = [DIGITS[label] for label in rng.permutation(list({*labels} - {right}))]
    absent = [DIGITS[label] for label in rng.permutation(list({*range(10)} - {*labels}))]
    return question, DIGITS[right], [*there, *absent][: CHOICES - 1]


def _is_there(labels: Sequence[int], rng: np.random.Generator) -> Asked:
    """Which of two digits are there: both, one or the other, or neither, each as often."""
    there, absent = rng.permutation(list({*labels})), rng.permutation(list({*range(10)} - {*labels}))
    value = int(rng.integers(4))
    first, second = ((there[0], there[1]), (there[0], absent[0]), (absent[0], there[0]), (absent[0], absent[1]))[value]
    values = ('both', f'only the {DIGITS[first]}', f'only the {DIGITS[second]}', 'neither')
    return _asked(f'is there a {DIGITS[first]} or a {DIGITS[second]} ?', values[value], values, rng)


def _numbered(asked: Sequence[Asked], rng: np.random.Generator) -> dict[str, np.ndarray]:
    found: dict[str, list[Any]] = {'question': [], 'choices': [], 'answer': []}
    for question, right, wrong in asked:
        order = rng.permutation(CHOICES)
        choices = [numbers_of(text.split(), QUESTION, LONGEST_CHOICE) for text in (right, *wrong)]
        found['question'].append(numbers_of(question.split(), QUESTION, LONGEST))
        found['choices'].append(np.stack([choices[place] for place in order]))
        found['answer'].append(np.int32(np.flatnonzero(order == 0)[0]))
    return {name: np.stack(values) for name, values in found.items()}
