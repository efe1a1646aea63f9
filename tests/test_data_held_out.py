"""Images held out of training: folds that have none in common, whatever the order; counts known beforehand."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax import experiment
from cnn_jax.data import digits
from cnn_jax.data.held_out import Part, divide, hold_out, num_folds
from cnn_jax.errors import CnnJaxError

TINY = 'tests/tiny_experiment.py'
SHARES = st.sampled_from([0.05, 0.1, 0.15, 0.2, 1 / 3, 0.5])


def digests_of(count, seed=0):
    return [hashlib.sha256(bytes([seed, row % 256, row // 256])).digest() for row in range(count)]


@settings(max_examples=60)
@given(count=st.integers(20, 400), share=SHARES)
def test_folds_have_no_image_in_common_and_their_sizes_are_known(count, share):
    digests, held_by_all = digests_of(count), []
    for fold in range(num_folds(share)):
        part = Part(share, fold)
        train, held = divide(digests, [-1] * count, part)
        assert len(held) == part.size(count)
        assert abs(len(held) - share * count) <= 1
        np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(count))
        held_by_all += held.tolist()
    assert len(set(held_by_all)) == len(held_by_all)
    if abs(num_folds(share) * share - 1) < 1e-9:
        assert len(held_by_all) == count


@settings(max_examples=30)
@given(count=st.integers(20, 200), share=SHARES, seed=st.integers(0, 2**32 - 1))
def test_neither_the_order_of_the_rows_nor_their_number_matters(count, share, seed):
    digests = digests_of(count)
    moved = np.random.default_rng(seed).permutation(count)
    _, held = divide(digests, [-1] * count, Part(share, 0))
    _, other = divide([digests[row] for row in moved], [-1] * count, Part(share, 0))
    assert {digests[row] for row in held} == {digests[moved[row]] for row in other}


def test_a_class_of_which_none_is_held_out_lends_its_smallest_and_this_is_said(caplog):
    count = 40
    digests = digests_of(count)
    order = sorted(range(count), key=lambda row: digests[row])
    labels = [0] * count
    for row in order[-3:]:
        labels[row] = 1  # the largest hashes: none is in the first tenth
    train, held = divide(digests, labels, Part(0.1, 0), ('cat', 'dog'))
    assert sorted(held) == sorted([*order[:3], order[-3]])
    assert order[3] in train
    assert 'each lends one: dog' in caplog.text


def test_a_class_that_is_held_out_whole_is_trained_on_again():
    digests = digests_of(20)
    order = sorted(range(20), key=lambda row: digests[row])
    labels = [int(row == order[0]) for row in range(20)]
    train, held = divide(digests, labels, Part(0.5, 0))
    assert order[0] in train
    assert len(held) == 10


def test_the_digits_know_their_counts_without_their_files(data_dir):
    data = digits.load(batch_size=32)
    assert data.folds == 10
    seen = []
    for fold in (0, 1, 9):
        part = data.with_fold(fold)
        held, train = (part.open(split, data_dir) for split in ('validation', 'train'))
        assert (len(train), len(held)) == (part.splits['train'], part.splits['validation'])
        seen.append({held[row]['image'].tobytes() for row in range(len(held))})
        assert not seen[-1] & {train[row]['image'].tobytes() for row in range(len(train))}
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]


def test_none_held_out_is_the_set_as_it_was():
    data = experiment.load(TINY, {}).experiment.data
    assert hold_out(data, 0) is data
    assert data.with_fold(0) is data
    assert data.choosing_split == 'test'
    with pytest.raises(CnnJaxError, match='fold: got 1; tiny has one way alone to hold images out'):
        data.with_fold(1)


@pytest.mark.parametrize(
    ('share', 'words'),
    [(-0.1, 'from 0'), (0.6, 'from 0'), (1, 'from 0'), (0.01, 'are 0, of 10 classes; give at least 0.2')],
)
def test_a_share_that_is_none_is_said(share, words):
    with pytest.raises(CnnJaxError, match=f'validation: .*{words}'):
        hold_out(experiment.load(TINY, {}).experiment.data, share)


def test_a_fold_that_is_not_there_is_said():
    data = hold_out(experiment.load(TINY, {}).experiment.data, 0.2)
    with pytest.raises(CnnJaxError, match='fold: got 5; tiny has the folds 0 to 4'):
        data.with_fold(5)
