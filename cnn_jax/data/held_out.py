"""A validation split for a set that has none of its own: training images, held out by the hash of their bytes."""

import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import CnnJaxError

MOST = 0.5  # of the training images
RUN = 1024  # rows that are read at once

log = logging.getLogger(__name__)


def num_folds(share: float) -> int:
    """How many parts of that share there are, no two with an image in common; 1 where nothing is held out.

    Raises:
        CnnJaxError: not a share from 0 to MOST.
    """
    if not 0 <= share <= MOST:
        raise CnnJaxError(f'validation: got {share}; it is a share of the training images, from 0 (none) to {MOST}')
    return int(1 / share + 1e-9) if share else 1


def hold_out(data: Data, share: float, fold: int = 0) -> Data:
    """The set with a share of its training images as the split 'validation', to choose by.

    The images are sorted by the SHA-256 of their bytes, and fold k of a tenth holds out the k-th tenth of them: neither
    the order of the rows nor their names matter, and the counts are known without a look at the disk. The folds have no
    image in common. A class of which none is held out lends one, for one of the largest class; this is said.

    Args:
        data: kept whole in memory, with no validation split.
        share: of the training images, from 0, which gives `data` as it is, to a half.
        fold: which part.

    Raises:
        CnnJaxError: a share or a fold that is not there, or fewer images than classes.
    """
    folds = num_folds(share)
    if not share:
        return data
    part = Part(share, fold)
    rows = functools.cache(lambda data_dir: read_marks(data.open('train', data_dir)))
    return _held_out(data, part, folds, rows)


@dataclass(frozen=True)
class Part:
    """Which of the sorted images are held out."""

    share: float
    fold: int

    def ends(self, count: int) -> tuple[int, int]:
        """The first place and the one after the last, of so many images."""
        return round(self.fold * self.share * count), round((self.fold + 1) * self.share * count)

    def size(self, count: int) -> int:
        first, end = self.ends(count)
        return end - first


Marks = tuple[list[bytes], list[int]]
"""The digest of each row's image, and its class, -1 where it has none."""


def _held_out(data: Data, part: Part, folds: int, marks_in: Callable[[Path], Marks]) -> Data:
    if not 0 <= part.fold < folds:
        raise CnnJaxError(f'fold: got {part.fold}; {data.name} has the folds 0 to {folds - 1}')
    held = part.size(data.num_train)
    if data.fields is None and held < data.num_classes:
        raise CnnJaxError(
            f'validation: {part.share} of {data.num_train:,} images are {held}, of {data.num_classes} classes; '
            f'give at least {data.num_classes / data.num_train:.2g}, or 0 for no validation'
        )

    def open_split(split: str, data_dir: Path) -> Source:
        source = data.open('train' if split == 'validation' else split, data_dir)
        if split == 'test':
            return source
        train, validation = divide(*marks_in(data_dir), part, data.class_names)
        return Rows(source, validation if split == 'validation' else train)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        data.prepare(data_dir, say)
        say(f'{data.name} validation: {len(open_split("validation", data_dir)):,} of the training images, held out')

    return replace(
        data,
        splits={'train': data.num_train - held, 'validation': held, 'test': data.num_test},
        open=open_split,
        prepare=prepare,
        folds=folds,
        fold=part.fold,
        make_fold=lambda fold: _held_out(data, replace(part, fold=fold), folds, marks_in),
    )


@dataclass(frozen=True)
class Rows:
    """Some rows of a source, in its order."""

    source: Source
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.source[int(self.rows[row])]

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        wanted = self.rows[list(rows)].tolist()
        many = getattr(self.source, '__getitems__', None)
        return [self.source[row] for row in wanted] if many is None else many(wanted)


def read_marks(source: Source) -> Marks:
    """The digest of each image of a source, and its class; a source that knows the digests is not read."""
    known = getattr(source, 'digests', None)
    if known is not None:
        labels = getattr(source, 'arrays', {}).get('label', np.full(len(known), -1))
        return list(known), labels.tolist()
    every = Rows(source, np.arange(len(source)))
    digests, labels = [], []
    for start in range(0, len(source), RUN):
        for example in every.__getitems__(range(start, min(start + RUN, len(source)))):
            digests.append(hashlib.sha256(example['image'].tobytes()).digest())
            labels.append(int(example.get('label', -1)))
    return digests, labels


def divide(
    digests: Sequence[bytes], labels: Sequence[int], part: Part, class_names: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """The rows for training and those that are held out, each in rising order.

    labels: the class of each row; -1 where it has none.
    """
    order = sorted(range(len(digests)), key=lambda row: (digests[row], row))
    first, end = part.ends(len(order))
    train, held = order[:first] + order[end:], order[first:end]
    lent = [*_lend(train, held, labels, keep=1), *_lend(held, train, labels, keep=0)]
    if lent:
        names = ', '.join(class_names[label] if class_names else str(label) for label in lent[:5])
        log.warning('classes with images on one side of the validation split alone: %d, each lends one: %s',
                    len(lent), names + (', ...' if len(lent) > 5 else ''))  # fmt: skip
    return np.array(sorted(train), int), np.array(sorted(held), int)


def _lend(giver: list[int], taker: list[int], labels: Sequence[int], *, keep: int) -> list[int]:
    """Moves an image of each class that only the giver has, for one of the class of which the taker has most.

    The classes that moved. keep: images of a class that the giver must have left.
    """
    there = {labels[row] for row in taker}
    lent = []
    for row in sorted(giver, key=lambda row: labels[row]):
        if (label := labels[row]) in there:
            continue
        own = [other for other in giver if labels[other] == label]
        counts = np.bincount([labels[other] for other in taker])
        if len(own) <= keep or counts.max() < 2:
            continue
        back = next(other for other in reversed(taker) if labels[other] == counts.argmax())
        giver.remove(own[0])
        taker.remove(back)
        giver.append(back)
        taker.append(own[0])
        there.add(label)
        lent.append(label)
    return lent
