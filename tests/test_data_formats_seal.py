"""Seals tell splits apart by what is in them, whatever its order, and cost nothing where nobody reads all rows."""

import numpy as np
import pytest

from cnn_jax.data import synthetic
from cnn_jax.data.formats import seal
from cnn_jax.data.formats.seal import Seal


class Rows(list):
    """A source of rows that are there."""


def rows(count=6, seed=0):
    rng = np.random.default_rng(seed)
    return Rows({'image': rng.integers(0, 256, (4, 3, 1), np.uint8), 'label': number % 3} for number in range(count))


def test_order_does_not_matter_and_everything_else_does():
    whole = seal.of_source(rows())
    assert whole == seal.of_source(Rows(reversed(rows())))
    assert whole.count == 6
    pixel, label, shape, twice = rows(), rows(), rows(), rows()
    pixel[2]['image'][1, 1, 0] ^= 1
    label[4]['label'] = 2
    shape[0]['image'] = shape[0]['image'].reshape(3, 4, 1)
    twice[1] = twice[0]
    for changed in (pixel, label, shape, twice, Rows(rows()[:-1])):
        assert whole.differs(seal.of_source(changed))


def test_pairs_of_changes_do_not_cancel():
    """Two rows exchange their labels; two rows change by the same bit."""
    one, other = rows(), rows()
    one[0]['label'], one[1]['label'] = one[1]['label'], one[0]['label']
    other[0]['image'] ^= 128
    other[1]['image'] ^= 128
    assert seal.of_source(rows()).differs(seal.of_source(one))
    assert seal.of_source(rows()).differs(seal.of_source(other))


def test_what_a_source_carries_is_taken():
    source = rows()
    source.seal = Seal(6, 'abc')  # pyright: ignore[reportAttributeAccessIssue]
    assert seal.of_source(source) == Seal(6, 'abc')


@pytest.mark.parametrize(('other', 'differs'), [(Seal(5, None), True), (Seal(6, None), False), (Seal(6, 'b'), True)])
def test_what_is_not_known_is_no_difference(other, differs):
    assert Seal(6, 'a').differs(other) is differs


def test_a_large_split_is_not_read(monkeypatch):
    monkeypatch.setattr(seal, 'LARGEST', 5 * 12)
    assert seal.of_source(rows()) == Seal(6, None)


def test_generated_rows_are_sealed_by_the_first_ones():
    small, large = (synthetic.SyntheticSource('train', count, (4, 4, 1), 3) for count in (50, 60))
    other = synthetic.SyntheticSource('test', 50, (4, 4, 1), 3)
    assert seal.of_source(small) == seal.of_source(synthetic.SyntheticSource('train', 50, (4, 4, 1), 3))
    assert seal.of_source(small).differs(seal.of_source(large))
    assert seal.of_source(small).differs(seal.of_source(other))
