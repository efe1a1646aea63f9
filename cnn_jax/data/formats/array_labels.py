"""Labels that are an array: numbers of classes, their names, or which classes are there; checked and never cast."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError

NAMED = 5

log = logging.getLogger(__name__)


class Answers(NamedTuple):
    """Labels as rows carry them: int64 (n,), or bool (n, classes) where images may be of several classes."""

    train: np.ndarray
    test: np.ndarray
    class_names: tuple[str, ...]

    @property
    def several(self) -> bool:
        """Whether an image may be of several classes."""
        return self.train.ndim == 2


def read_labels(train: Any, test: Any, class_names: Sequence[str] | None) -> Answers:
    """The labels of training and test images, of one kind; the test ones are empty where none are given.

    Args:
        train, test: int (n,), text (n,) or bool (n, classes); test may be None.
        class_names: in the order of the labels; None: the numbers, or the texts sorted.

    Raises:
        CnnJaxError: another type or shape, or a label out of range: with the row, and what to do.
    """
    names = None if class_names is None else tuple(str(name) for name in class_names)
    if names is not None and (len(names) < 2 or len({*names}) < len(names)):
        raise CnnJaxError(f'class_names: got {", ".join(names)}; needed are at least 2, all different')
    known = _array('labels', train)
    tested = known[:0] if test is None else _array('test_labels', test)
    kinds = {known.dtype.kind, tested.dtype.kind}
    if known.ndim != tested.ndim or (len(kinds) > 1 and kinds != {*'iu'}):
        raise CnnJaxError(
            f'test_labels: {tested.dtype} {tested.shape}, the labels are {known.dtype} {known.shape}; give one kind'
        )
    read = {'U': _from_text, 'b': _from_flags}.get(known.dtype.kind, _from_numbers)
    found = read(known, tested, names)
    _say_missing(found)
    return found


def _array(name: str, given: Any) -> np.ndarray:
    """The labels as an array of one of the kinds that are known."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise CnnJaxError(f'{name}: they are no array: {str(error).splitlines()[0]}; give one label a row') from error
    if array.dtype.kind == 'O' and all(isinstance(value, str) for value in array.flat):
        array = array.astype(str)
    if array.ndim == 2 and array.shape[1] == 1:
        log.info('%s: %s is taken as one label a row', name, array.shape)
        array = array[:, 0]
    said = f'{name}: got {array.dtype} {array.shape}; '
    if array.dtype.kind == 'b' and array.ndim == 1:
        raise CnnJaxError(f'{said}of two classes give numbers: {name}.astype(int)')
    if array.dtype.kind in 'iu' and array.ndim == 2:
        raise CnnJaxError(
            f'{said}where each row has one 1 give {name}.argmax(1); where it may have several {name}.astype(bool)'
        )
    if array.dtype.kind == 'f':
        nan = ' (some are not a number)' if np.isnan(array).any() else ''
        raise CnnJaxError(f'{said}classes are whole numbers{nan}: {name}.astype(int), if that is what they are')
    if array.dtype.kind not in 'iuUb' or array.ndim != 1 + (array.dtype.kind == 'b'):
        raise CnnJaxError(f'{said}needed are int (n,), text (n,) or bool (n, classes)')
    if not len(array) and name == 'labels':
        raise CnnJaxError(f'{said}there are none; give one for each image')
    return array


def _from_numbers(train: np.ndarray, test: np.ndarray, names: tuple[str, ...] | None) -> Answers:
    most = int(max(train.max(), test.max(initial=0)))
    count = most + 1 if names is None else len(names)
    for name, labels in (('labels', train), ('test_labels', test)):
        wrong = np.flatnonzero((labels < 0) | (labels >= count))
        if len(wrong):
            row, value = int(wrong[0]), int(labels[wrong[0]])
            allowed = 'at least 0' if names is None else f'from 0 to {count - 1}, the last of class_names'
            raise CnnJaxError(f'{name}: row {row} is {value}; a class is {allowed}')
    if count < 2:
        raise CnnJaxError('labels: all are 0; needed are at least 2 classes')
    if names is None and count > len(train):
        raise CnnJaxError(
            f'labels: the largest is {most:,}, of {len(train):,} images; classes are numbered from 0 on without gaps: '
            'np.unique(labels, return_inverse=True)[1]'
        )
    numbers = names or tuple(str(number) for number in range(count))
    return Answers(train.astype(np.int64), test.astype(np.int64), numbers)


def _from_text(train: np.ndarray, test: np.ndarray, names: tuple[str, ...] | None) -> Answers:
    classes = tuple(sorted({*train.tolist()})) if names is None else names
    if len(classes) < 2:
        raise CnnJaxError(f'labels: all are {str(train[0])!r}; needed are at least 2 classes')
    numbers = {name: number for number, name in enumerate(classes)}
    for name, labels in (('labels', train), ('test_labels', test)):
        strange = [row for row, label in enumerate(labels.tolist()) if label not in numbers]
        if strange:
            known = 'the training labels have' if names is None else 'class_names has'
            raise CnnJaxError(f'{name}: row {strange[0]} is {str(labels[strange[0]])!r}, which {known} not; mend it')
    found = [np.array([numbers[label] for label in labels.tolist()], np.int64) for labels in (train, test)]
    return Answers(found[0], found[1], classes)


def _from_flags(train: np.ndarray, test: np.ndarray, names: tuple[str, ...] | None) -> Answers:
    count = train.shape[1]
    if test.shape[1] != count or count != len(names or range(count)):
        raise CnnJaxError(
            f'labels: {count} classes a row, test_labels {test.shape[1]}, class_names {len(names or range(count))}; '
            'make them the same'
        )
    if count < 2:
        raise CnnJaxError('labels: bool (n, 1); needed are at least 2 classes')
    return Answers(train, test, names or tuple(str(number) for number in range(count)))


def _say_missing(answers: Answers) -> None:
    """Warns of classes that no training image has."""
    counts = answers.train.sum(0) if answers.several else np.bincount(answers.train, minlength=len(answers.class_names))
    missing = [answers.class_names[number] for number in np.flatnonzero(counts == 0)]
    if missing:
        more = ', ...' if len(missing) > NAMED else ''
        log.warning('labels: classes of no training image: %s: %s%s', len(missing), ', '.join(missing[:NAMED]), more)
