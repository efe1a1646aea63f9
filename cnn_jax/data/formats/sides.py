"""Which side of a division an image is on: by the bytes of its file alone."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cnn_jax.data.formats.tree import Item
from cnn_jax.errors import CnnJaxError

NAMED = 5  # things that a message lists


@dataclass(frozen=True)
class Division:
    """How a folder without a test split of its own is divided.

    Raises:
        CnnJaxError: a share that is none.
    """

    test_fraction: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise CnnJaxError(f'test_fraction: got {self.test_fraction}; it is a share between 0 and 1')

    def place(self, item: Item) -> float:
        """Where an image stands between 0 and 1, by its bytes alone; below `test_fraction` it is a test image."""
        return place(f'{self.seed}', item.mark)


def place(salt: str, mark: str) -> float:
    """A number from 0 to 1 (not included) of an image, by its mark; another salt gives one that is independent."""
    return int.from_bytes(hashlib.sha256(f'{salt}\n{mark}'.encode()).digest()[:7]) / 2**56


class Sides(NamedTuple):
    """Which images are chosen, by number, and the classes that chance left on one side alone.

    `lent`: those of which one image changed its side; `whole`: those that stay where they are.
    """

    chosen: set[int]
    lent: list[int]
    whole: list[int]


def choose(items: Sequence[Item], inside: Sequence[bool], places: Sequence[float]) -> Sides:
    """The images that are `inside`; a class that is on one side only lends one image to the other.

    To those chosen it lends that of the smallest place, to the others that of the largest. Copies, which have one mark,
    move together. An image of several classes is lent only if each of them keeps another; a class for which there is
    no such image, or that has one alone, stays whole.
    """
    chosen = {number for number, there in enumerate(inside) if there}
    own: dict[int, list[int]] = {}
    for number in sorted(range(len(items)), key=lambda number: places[number]):
        for label in items[number].classes:
            own.setdefault(label, []).append(number)
    lent, whole = [], []
    for label in sorted(own):
        there = [number for number in own[label] if number in chosen]
        if 0 < len(there) < len(own[label]):
            continue
        moving = _lendable(items, own, label, chosen)
        if moving:
            chosen ^= moving
        (lent if moving else whole).append(label)
    return Sides(chosen, lent, whole)


def _lendable(items: Sequence[Item], own: dict[int, list[int]], label: int, chosen: set[int]) -> set[int]:
    """The copies of the first image of a class that can change its side; none where each class needs it."""
    given = own[label][0] in chosen  # all of them are on one side
    for first in reversed(own[label]) if given else own[label]:
        copies = {number for number in own[label] if items[number].mark == items[first].mark}
        concerned = {other for number in copies for other in items[number].classes}
        if all(any((n in chosen) == given and n not in copies for n in own[other]) for other in concerned):
            return copies
    return set()


class Held(NamedTuple):
    """Rows of a training split, in rising order: those to train on, and those held out for validation."""

    train: list[int]
    validation: list[int]


def hold_out(items: Sequence[Item], share: float, fold: int, say: Callable[[str], None], names: Sequence[str]) -> Held:
    """Divides training images; fold k holds out those whose place is from k times the share on and below k + 1 times.

    The folds have no image in common but those that are lent. A class without a held-out image lends the first one
    after the fold's beginning, in a circle, and one that would be held out whole keeps the last; this is said.

    Args:
        share: of the images, above 0, at most a half.
        say: takes the line.
        names: of the classes.
    """
    places = [place('validation', item.mark) for item in items]
    first, end = fold * share, (fold + 1) * share
    sides = choose(items, [first <= at < end for at in places], [(at - first) % 1.0 for at in places])
    say_lent(sides, names, say, 'validation')
    rows = range(len(items))
    return Held([row for row in rows if row not in sides.chosen], [row for row in rows if row in sides.chosen])


def say_lent(sides: Sides, names: Sequence[str], say: Callable[[str], None], split: str) -> None:
    """Says which classes lent an image, and which could not."""
    for labels, what in (
        (sides.lent, f'classes with images on one side of the {split} split alone: %s, each lends one: %s'),
        (sides.whole, f'classes with images on one side of the {split} split alone, which have none to lend: %s: %s'),
    ):
        if labels:
            shown = ', '.join(names[label] for label in labels[:NAMED]) + (', ...' if len(labels) > NAMED else '')
            say(what % (f'{len(labels):,}', shown))


def balance(rows: Sequence[int], items: Sequence[Item]) -> list[int]:
    """The rows with those of smaller classes several times, so that each class has as many as the largest.

    In the order of the classes; row i of a class is its image i modulo their number, so that none stands more than
    once more than another.
    """
    own: dict[int, list[int]] = {}
    for row in rows:
        own.setdefault(items[row].label, []).append(row)
    most = max(len(found) for found in own.values())
    return [found[number % len(found)] for _, found in sorted(own.items()) for number in range(most)]
