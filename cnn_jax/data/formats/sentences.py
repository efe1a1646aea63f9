"""Sentences as numbers: words of a sorted vocabulary, a fixed length, and one number for the end and what follows.

| field | dtype and shape | meaning |
|---|---|---|
| 'captions' | int32 (batch, captions, length) | sentences that are right for the image; all `END`: there is none |
| 'question' | int32 (batch, questions, length) | |
| 'choices' | int32 (batch, questions, choices, length) | answers, of which one is right |
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cnn_jax.errors import CnnJaxError, DataError

END = 0
"""The number of `END_WORD`: it stands behind the last word, and in each place after it."""
END_WORD = '<end>'
UNKNOWN_WORD = '<unknown>'  # where the vocabulary has it, for every word that it has not


def vocabulary(words: Iterable[str]) -> tuple[str, ...]:
    """`END_WORD`, then the words, each once and sorted: the same numbers wherever they are made."""
    return (END_WORD, *sorted({*words} - {END_WORD}))


def words_of(text: str) -> list[str]:
    """The words and marks of a text, in small letters: marks are words of their own, apart from those within a word."""
    lowered = text.lower()
    spaced = ''.join(
        one if one.isalnum() or one.isspace() or one in "'-" else f' {one} ' for one in lowered.replace('\u2019', "'")
    )
    return spaced.split()


def numbers_of(words: Sequence[str], known: Sequence[str], length: int) -> np.ndarray:
    """Words as int32 (length,), with one `END` behind them at least.

    known: the vocabulary.

    Raises:
        CnnJaxError: a word that it has not, or too many of them.
    """
    places = {word: number for number, word in enumerate(known)}
    spare = places.get(UNKNOWN_WORD)
    strange = [word for word in words if word not in places]
    if strange and spare is None:
        raise CnnJaxError(f'the net does not know the word {strange[0]!r}; it knows {", ".join(known[1:])}')
    if len(words) >= length:
        raise CnnJaxError(f'{" ".join(words)!r} has {len(words)} words; the net reads {length - 1} at most')
    found = np.full(length, END, np.int32)
    found[: len(words)] = [places.get(word, spare or END) for word in words]  # `spare` is no END where it is used
    return found


def text_of(numbers: Any, known: Sequence[str]) -> str:
    """The words before the first `END`, with spaces between them.

    Raises:
        DataError: a number that the vocabulary has not.
    """
    found: list[int] = np.asarray(numbers).tolist()
    if bad := [number for number in found if not 0 <= number < len(known)]:
        raise DataError(f'word number {bad[0]} is beyond the vocabulary of {len(known)} words')
    return ' '.join(known[number] for number in (found[: found.index(END)] if END in found else found))


def counted(numbers: Any) -> Any:
    """Which places of sentences (..., length) count, bool, of JAX or of NumPy: the words and the first `END`."""
    ended = numbers == END
    return (ended.cumsum(-1) - ended) == 0
