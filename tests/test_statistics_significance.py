"""Differences and their noise, against closed forms and the literature's own examples."""

import itertools
import math

import numpy as np
import pytest

from cnn_jax.statistics.significance import compare, flips_signs, holm, show_p, smallest_p, t_interval


def exact_signs(differences):
    """The share of sign patterns whose mean is at least as far from 0."""
    means = [
        abs(np.mean(np.array(signs) * differences)) for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return np.mean(np.array(means) >= abs(np.mean(differences)) - 1e-12)


def exact_groups(one, other):
    """The share of divisions of all values into two groups whose means are at least as far apart."""
    values, n = np.concatenate([one, other]), len(one)
    gaps = [
        abs(values[list(chosen)].mean() - np.delete(values, chosen).mean())
        for chosen in itertools.combinations(range(2 * n), n)
    ]
    return np.mean(np.array(gaps) >= abs(np.mean(one) - np.mean(other)) - 1e-12)


def test_few_pairs_are_tested_over_all_divisions_of_the_runs():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.3, 1, 5), rng.normal(0, 1, 5)
    assert not flips_signs(5, 1)
    assert compare(one, other).p == pytest.approx(exact_groups(one, other))


def test_enough_pairs_are_tested_over_the_signs_of_their_differences():
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.5, 1, 8), rng.normal(0, 1, 8)
    assert flips_signs(8, 1)
    assert compare(one, other).p == pytest.approx(exact_signs(one - other))


def counted(one, other):
    """The exact p-value of whole numbers, over the signs of their differences."""
    differences = np.asarray(one, int) - np.asarray(other, int)
    signs = np.array(list(itertools.product((1, -1), repeat=len(differences))))
    return np.mean(np.abs(signs @ differences) >= abs(differences.sum()))


def test_equal_sums_of_counted_accuracies_are_ties():
    """Nine differences that are not 0, by hand: 0.0078 if the ties are missed, right is 0.0625."""
    differences = np.array([-1, 0, -1, 0, -1, -2, -1, -1, 1, -1])
    base = np.array([350, 351, 349, 352, 350, 353, 351, 350, 348, 352])
    assert counted(base + differences, base) == 0.0625
    assert compare((base + differences) / 360, base / 360).p == 0.0625
    single = [np.asarray(values / 360, np.float32) for values in (base + differences, base)]
    assert compare(*single).p == 0.0625, 'as logged in float32'


@pytest.mark.parametrize('images', [360, 10_000, 50_000])
@pytest.mark.parametrize('dtype', [np.float64, np.float32])
def test_random_counted_comparisons_are_those_of_whole_numbers(images, dtype):
    rng = np.random.default_rng(images)
    for n in rng.integers(6, 12, 30):
        one, other = rng.binomial(images, [[0.97], [0.97 + rng.choice([0.0, 0.01])]], (2, n))
        found = compare(np.asarray(one / images, dtype), np.asarray(other / images, dtype)).p
        assert found == counted(one, other)


def test_random_counted_comparisons_of_few_pairs_are_those_of_whole_numbers():
    rng = np.random.default_rng(0)
    for n in rng.integers(2, 6, 30):
        one, other = rng.binomial(360, 0.97, (2, n))
        both = np.concatenate([one, other])
        sums = (
            np.array([2 * both[list(chosen)].sum() for chosen in itertools.combinations(range(2 * n), n)]) - both.sum()
        )
        assert compare(one / 360, other / 360).p == np.mean(np.abs(sums) >= abs(one.sum() - other.sum()))


def test_many_pairs_are_sampled_near_the_exact_value():
    rng = np.random.default_rng(5)
    one, other = rng.binomial(360, [[0.97], [0.96]], (2, 16))
    exact = counted(one, other)
    assert abs(compare(one / 360, other / 360).p - exact) < 5 * np.sqrt(exact * (1 - exact) / 9999) + 2e-4


@pytest.mark.parametrize(
    ('values', 'others', 'what'),
    [
        ([0.9, float('nan')], [0.8, 0.7], 'got nan and 0.7 in pair 1'),
        ([0.9, 0.8], [float('inf'), 0.7], 'got 0.9 and inf in pair 0'),
        ([0.9, 0.8], [0.7], r'got shapes \(2,\) and \(1,\)'),
    ],
)
def test_what_cannot_be_compared_is_refused(values, others, what):
    with pytest.raises(ValueError, match=what):
        compare(values, others)


@pytest.mark.parametrize('n', [3, 4, 6, 10])
@pytest.mark.parametrize('deviation', [1.0, 3.0])  # in images of 360
def test_the_interval_holds_the_true_difference(n, deviation):
    """At least 93 % of 3,000 comparisons of cells that are alike, less two deviations of that count."""
    rng = np.random.default_rng(n)
    one, other = np.rint(rng.normal(350, deviation, (2, 3000, n))) / 360
    held = [low <= 1e-12 and high >= -1e-12 for low, high in map(t_interval, one - other)]
    assert np.mean(held) >= 0.93 - 2 * np.sqrt(0.93 * 0.07 / 3000)


def test_the_interval_is_students():
    """Student 1908, table of section IX: the differences of soporifics, mean 1.58, and 2.262 of nine degrees."""
    differences = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert t_interval(differences) == pytest.approx((0.7001, 2.4599), abs=2e-4)


def test_a_difference_in_every_pair_is_found_and_none_in_equal_runs():
    values = np.array([0.97, 0.98, 0.96, 0.975, 0.981])
    clear = compare(values + 0.05, values)
    assert clear.difference == pytest.approx(0.05)
    assert clear.p == pytest.approx(2 / math.comb(10, 5))
    equal = compare(values, values)
    assert (equal.difference, equal.low, equal.high, equal.p) == (0, 0, 0, 1)


def test_the_interval_holds_the_mean_and_shrinks_with_the_noise():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, 20)
    wide, narrow = compare(0.1 + noise, np.zeros(20)), compare(0.1 + noise / 10, np.zeros(20))
    assert wide.low < wide.difference < wide.high
    assert narrow.high - narrow.low == pytest.approx((wide.high - wide.low) / 10, rel=1e-6)
    half = 1.96 * noise.std() / math.sqrt(20)  # of the normal distribution, which the bootstrap is near to
    assert wide.high - wide.low == pytest.approx(2 * half, rel=0.15)


def test_too_few_runs_tell_nothing():
    assert compare([], []).n == 0
    single = compare([1.0], [0.0])
    assert single.p == 1
    assert math.isnan(single.low)
    assert smallest_p(3, 1) == pytest.approx(0.1)
    assert smallest_p(5, 6) == pytest.approx(6 * 2 / 252)
    assert smallest_p(10, 4) == pytest.approx(4 * 2 / 1024)


def test_holms_example():
    """Holm 1979 as in Wright 1992: the smallest of m times m, the next times m - 1, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, float('nan')]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_values_in_words():
    shown = [show_p(value) for value in (float('nan'), 0.0009, 0.001, 0.0163, 0.1, 1.0)]
    assert shown == ['-', '< 0.001', '0.001', '0.016', '0.10', '1.00']


def test_noise_alone_is_rarely_called_a_difference():
    rng = np.random.default_rng(3)
    wrong = [compare(rng.normal(0, 1, 5), rng.normal(0, 1, 5)).p <= 0.05 for _ in range(60)]
    assert np.mean(wrong) <= 0.12  # 0.05 and the noise of 60 trials
