"""Sides of a division: folds apart, each image by itself, and classes that lend."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.data.formats import sides
from cnn_jax.data.formats.tree import Item

SHARES = (0.5, 0.3, 0.25, 0.1, 1 / 3)


def make(labels, *, start=0):
    """Items of these labels, each with a mark of its own."""
    return [Item(f'{n}', label, Path(), 0, 1, f'mark {start + n}') for n, label in enumerate(labels)]


def held(items, share, fold, said=None):
    names = [f'class {n}' for n in range(9)]
    return sides.hold_out(items, share, fold, (said if said is not None else []).append, names)


@given(st.sampled_from(SHARES), st.integers(0, 10**6))
def test_folds_are_apart_and_cover_all(share, start):
    """Of one large class nothing is lent. The folds of a share that does not divide 1 leave the rest out."""
    items = make([0] * 200, start=start)
    folds = [held(items, share, fold) for fold in range(round(1 / share - 0.49))]
    counted = Counter(row for fold in folds for row in fold.validation)
    assert set(counted.values()) == {1}
    assert len(counted) == 200 or share == 0.3
    for fold in folds:
        assert sorted(fold.train + fold.validation) == list(range(200))
        assert fold.train == sorted(fold.train)
        assert abs(len(fold.validation) / 200 - share) < 5 * (share * (1 - share) / 200) ** 0.5


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_an_image_keeps_its_side_where_nothing_is_lent(labels, data):
    items = make(labels)
    kept = data.draw(st.sets(st.integers(0, len(items) - 1), min_size=1))
    some = [items[number]._replace(name=f'another {number}') for number in sorted(kept, reverse=True)]
    said = []
    one, other = held(items, 0.3, 1, said), held(some, 0.3, 1, said)
    if not said:
        names = {items[row].mark for row in one.validation}
        assert {some[row].mark for row in other.validation} == {item.mark for item in some} & names


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.sampled_from(SHARES), st.integers(0, 1))
def test_each_class_with_two_images_is_on_both_sides(labels, share, fold):
    items, said = make(labels), []
    found = held(items, share, fold, said)
    counts = Counter(labels)
    for rows in (found.train, found.validation):
        there = {items[row].label for row in rows}
        assert {label for label, count in counts.items() if count > 1} <= there
    alone = sum(count == 1 for count in counts.values())
    assert any(f'have none to lend: {alone}' in line for line in said) == bool(alone)


def test_the_smallest_is_lent_and_the_largest_kept():
    items, places = make([0, 0, 0, 1, 1, 1]), [0.5, 0.4, 0.9, 0.1, 0.2, 0.15]
    found = sides.choose(items, [at < 0.3 for at in places], places)
    assert (found.chosen, found.lent, found.whole) == ({1, 3, 5}, [0, 1], [])


def test_copies_move_together():
    items = [item._replace(mark='same') for item in make([0, 0])] + make([0])
    assert sides.choose(items, [False] * 3, [0.4, 0.4, 0.5]).chosen == {0, 1}
    assert sides.choose(items[:2], [False] * 2, [0.4, 0.4]).whole == [0]


def several(*labels):
    return [item._replace(labels=own) for item, own in zip(make([own[0] for own in labels]), labels, strict=True)]


@given(st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=30), st.sampled_from(SHARES))
def test_lending_takes_no_class_of_several_from_its_side(labels, share):
    """A class is whole only where no image of it could have gone to the other side without taking another's last."""
    items = several(*(tuple(sorted(own)) for own in labels))
    places = [sides.place('validation', item.mark) for item in items]
    inside = [at < share for at in places]
    found = sides.choose(items, inside, places)
    for label in range(5):
        own = [number for number, item in enumerate(items) if label in item.classes]
        before, after = sum(inside[number] for number in own), sum(number in found.chosen for number in own)
        assert not 0 < before < len(own) or 0 < after < len(own), 'who was on both sides still is'
        assert (label in found.whole) <= (not 0 < before < len(own))


def test_an_image_of_several_classes_is_not_lent_where_one_needs_it():
    items = several((0, 1), (0,), (1,))
    found = sides.choose(items, [False] * 3, [0.1, 0.2, 0.3])
    assert (found.chosen, found.whole) == ({0}, []), 'each class keeps another'
    items = several((0, 1), (0,), (0,))
    found = sides.choose(items, [False] * 3, [0.1, 0.2, 0.3])
    assert (found.chosen, found.lent, found.whole) == ({1}, [0], [1])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_balance(labels):
    items = make(labels)
    rows = sides.balance(range(len(items)), items)
    counts = Counter(items[row].label for row in rows)
    assert set(counts.values()) == {max(Counter(labels).values())}
    assert set(rows) == set(range(len(items)))
    for label in counts:
        often = Counter(row for row in rows if items[row].label == label).values()
        assert max(often) - min(often) <= 1
    assert rows == sides.balance(range(len(items)), items)


@pytest.mark.parametrize('number', range(3))
def test_places_of_two_salts_are_independent(number):
    """Of the images below a tenth by one, about a tenth is below a tenth by the other."""
    marks = [f'{number} {n}' for n in range(20_000)]
    first = [mark for mark in marks if sides.place('0', mark) < 0.1]
    both = [mark for mark in first if sides.place('validation', mark) < 0.1]
    assert abs(len(both) / len(first) - 0.1) < 4 * (0.09 / len(first)) ** 0.5
