"""Scenes of digits that are told of: drawn again until each word, question and answer about them is sure."""

from typing import Any

import numpy as np

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.kept import Rows
from cnn_jax.data.scenery import questions, telling
from cnn_jax.data.scenery.objects import Object, draw_objects
from cnn_jax.data.scenery.parts import CONTRAST, Parts, as_pixels, draw_background
from cnn_jax.errors import CnnJaxError

WORDS = {'caption': telling.CAPTION, 'question': questions.QUESTION, 'pointing': questions.QUESTION}
ASKED = ('question', 'choices', 'choice_boxes', 'answer')
MOST = 9  # digits: their count is a word
TRIES = 2000  # scenes that are drawn for one: of five digits about one of five is taken


def check_counts(kind: str, least: int, most: int) -> None:
    """Raises CnnJaxError for numbers of digits that the grammar has no words or no choices for."""
    needed = {
        'caption': (least >= 1, 'from 1'),
        'question': (least >= 2 and most - least >= questions.CHOICES - 1, 'from 2, and four numbers of digits,'),
        'pointing': (least >= questions.CHOICES, f'from {questions.CHOICES}'),
    }
    fits, range_ = needed[kind]
    if not fits or most > MOST:
        raise CnnJaxError(f'num_objects: got ({least}, {most}); of {kind!r} give numbers {range_} to {MOST}')


def fields_of(kind: str, most: int, size: int) -> Fields:
    """What a row carries beside its image."""
    if kind == 'caption':
        return {'captions': Field('int32', (1, telling.most_words(most)), least=0, most=len(telling.CAPTION) - 1)}
    count = len(questions.KINDS) if kind == 'question' else questions.POINTED
    words, choices = len(questions.QUESTION) - 1, questions.CHOICES
    found = {
        'question': Field('int32', (count, questions.LONGEST), least=0, most=words),
        'answer': Field('int32', (count,), least=0, most=choices - 1),
        'kind': Field('int32', (count,), least=0, most=len(questions.KINDS) - 1 if kind == 'question' else 0),
    }
    if kind == 'pointing':
        found['choice_boxes'] = Field('float32', (count, choices, 4), least=0, most=size)
    else:
        found['choices'] = Field('int32', (count, choices, questions.LONGEST_CHOICE), least=0, most=words)
    return found | {f'other_{name}': field for name, field in found.items() if name != 'kind'}


def with_others(rows: Rows) -> Rows:
    """Rows that have the questions of the row before beside their own, `other_*`: for answers with a wrong image."""
    others = {f'other_{name}': np.roll(rows.arrays[name], 1, 0) for name in ASKED if name in rows.arrays}
    return Rows({**rows.arrays, **others}, rows.seal)


def make_told(
    kind: str, rng: np.random.Generator, parts: Parts, counts: tuple[int, int], size: int, channels: int
) -> dict[str, Any]:
    """`image` uint8 (size, size, channels) and the fields of a kind; its number of digits is uniform.

    Raises:
        CnnJaxError: so many digits find no place on a scene.
    """
    count = int(rng.integers(counts[0], counts[1] + 1))
    for _ in range(TRIES):
        canvas = CONTRAST * draw_background(rng, parts.cells, size, channels)
        objects = draw_objects(rng, canvas, parts, count)
        found = _told(kind, objects, size, counts, rng) if len(objects) == count else None
        if found is not None:
            return {'image': as_pixels(canvas), **found}
    raise CnnJaxError(f'num_objects: {count} digits find no place on a scene of {size} pixels; give fewer')


def _told(kind: str, objects: list[Object], size: int, counts: tuple[int, int], rng: np.random.Generator) -> Any:
    if kind == 'caption':
        found = telling.caption(objects, size, telling.most_words(counts[1]))
        return None if found is None else {'captions': found}
    if kind == 'question':
        return questions.questions(objects, size, counts, rng)
    return questions.pointing(objects, rng)
