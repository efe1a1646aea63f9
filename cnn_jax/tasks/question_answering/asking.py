"""A question and its choices, as people write them, as the numbers that a model takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.data.formats.annotations import present
from cnn_jax.data.formats.sentences import numbers_of, words_of
from cnn_jax.errors import CnnJaxError

WORDS, CHOICE_WORDS = 16, 8  # lengths are multiples of these: each one is compiled
BOXES = 'each is a box [left, top, right, bottom] in pixels of the picture, with an area'


def told(question: Any, choices: Any, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """`question` int32 (1, length) and `choices` int32 (1, choices, length), words of the vocabulary `class_names`.

    Raises:
        CnnJaxError: no text, fewer than two choices, one twice, or a word that the vocabulary has not.
    """
    texts = [_words('choices', choice) for choice in _listed(choices)]
    if len({*map(tuple, texts)}) < len(texts):
        raise CnnJaxError(f'choices: {choices} given; each is there once')
    length = _length(max(map(len, texts)), CHOICE_WORDS)
    numbers = np.stack([numbers_of(words, class_names, length) for words in texts])
    return {'question': _question(question, class_names), 'choices': numbers[None]}


def pointed(question: Any, choices: Any, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """`question` int32 (1, length) and `choice_boxes` float32 (1, choices, 4), (left, top, right, bottom).

    Raises:
        CnnJaxError: no text, a word that the vocabulary has not, fewer than two boxes, or one that is none.
    """
    try:
        boxes = np.array(_listed(choices), np.float32)
    except (TypeError, ValueError) as error:
        raise CnnJaxError(f'choices: {str(choices)[:80]} given; {BOXES}') from error
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all() or not present(boxes).all():
        raise CnnJaxError(f'choices: {str(choices)[:80]} given; {BOXES}')
    return {'question': _question(question, class_names), 'choice_boxes': boxes[None]}


def _listed(choices: Any) -> list[Any]:
    found = list(choices) if isinstance(choices, list | tuple | np.ndarray) else []
    if len(found) < 2:
        raise CnnJaxError(f'choices: {str(choices)[:80]!r} given; give a list of two or more')
    return found


def _question(text: Any, class_names: Sequence[str]) -> np.ndarray:
    words = _words('question', text)
    return numbers_of(words, class_names, _length(len(words), WORDS))[None]


def _words(name: str, text: Any) -> list[str]:
    words = words_of(text) if isinstance(text, str) else []
    if not words:
        raise CnnJaxError(f'{name}: {str(text)[:80]!r} given; it is a text with words')
    return words


def _length(count: int, step: int) -> int:
    """The first multiple of `step` beyond a count of words: behind them stands an end."""
    return step * (count // step + 1)
