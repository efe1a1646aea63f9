"""Whether a difference between two sets of runs is more than noise."""

from collections.abc import Sequence
from itertools import combinations, product
from math import comb, sqrt
from typing import NamedTuple

import numpy as np

ALPHA = 0.05
RESAMPLES = 9_999
MOST_COUNTED = 20_000  # ways of a test that are all gone through; of more, RESAMPLES are drawn
# Accuracies are whole numbers of images over their count, so equal sums are common; in floating point they differ by
# rounding. A metric may have been logged in float32, whose values are this far from the number that was meant.
ROUNDING = 2.0**-23


class Comparison(NamedTuple):
    """Runs of one cell against runs of another with the same seeds.

    Attributes:
        n: pairs.
        difference: mean of the paired differences.
        low, high: its 95 % interval by Student's t; not numbers for fewer than two pairs.
        p: of the permutation test, two-sided, before any correction.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float


def compare(
    values: Sequence[float] | np.ndarray, others: Sequence[float] | np.ndarray, *, comparisons: int = 1
) -> Comparison:
    """Compares paired values; `comparisons` is how many such tests are made together.

    The interval is that of Student 1908 for the mean of the paired differences. It holds the true one in 94 to 97 % of
    the cases from three pairs on, also of counted accuracies and of runs that sometimes fail; in 88 % where one cell
    alone has noise, as skewed as an exponential (`benchmarks/coverage.py`). Where all differences are equal its width
    is 0: the runs say nothing of their noise.

    Raises:
        ValueError: the two are not of one length, or a value is not finite (leave a diverged run and its pair out).
    """
    one, other = (np.asarray(side, float) for side in (values, others))
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f'values, others: got shapes {one.shape} and {other.shape}; give as many of each, one a pair')
    wrong = np.flatnonzero(~np.isfinite(one) | ~np.isfinite(other))
    if len(wrong):
        pair = f'{one[wrong[0]]} and {other[wrong[0]]} in pair {wrong[0]}'
        raise ValueError(f'values, others: got {pair}; give finite numbers, and leave out pairs that have none')
    n = len(one)
    if n == 0:
        return Comparison(0, *[float('nan')] * 4)
    low, high = t_interval(one - other)
    return Comparison(n, float(np.mean(one - other)), low, high, _p_value(one, other, comparisons))


def t_interval(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of some numbers, (n,); not numbers for fewer than two."""
    from scipy import stats

    n = len(differences)
    if n < 2:
        return float('nan'), float('nan')
    mean = float(np.mean(differences))
    reach = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * float(np.std(differences, ddof=1)) / sqrt(n)
    return mean - reach, mean + reach


def flips_signs(n: int, comparisons: int) -> bool:
    """Whether enough pairs are there for the test that flips signs of differences: else it could never say anything.

    It looks at n alone, not at the values, so choosing by it is fair.
    """
    return comparisons * 2 / 2**n <= ALPHA


def smallest_p(n: int, comparisons: int) -> float:
    """The least p-value that the test can give, corrected for the number of comparisons (Holm's first step)."""
    least = 2 / 2**n if flips_signs(n, comparisons) else 2 / comb(2 * n, n)
    return min(1.0, comparisons * least)


def _p_value(one: np.ndarray, other: np.ndarray, comparisons: int) -> float:
    """A permutation test of the mean difference, exact where there are few runs: over the signs of the differences, or,
    with too few pairs for that, over which of all runs belong to which cell.

    Returns the share of the ways whose sum is at least as far from 0 as the one that was measured, equal sums included.
    """
    n = len(one)
    if n < 2:
        return 1.0
    if flips_signs(n, comparisons):
        values, ways = one - other, _signs(n)
    else:
        both = np.concatenate([one, other])
        values, ways = both - np.mean(both), _divisions(n)  # the mean cancels: as many are added as subtracted
    slack = n * ROUNDING * max(np.max(np.abs(one)), np.max(np.abs(other)))
    beyond = np.abs(ways @ values) >= abs(np.sum(one - other)) - slack
    count, drawn = int(np.sum(beyond)), len(ways)
    return count / drawn if drawn != RESAMPLES else (count + 1) / (drawn + 1)  # a sample also counts what was measured


def _signs(n: int) -> np.ndarray:
    """All signs of n differences, (2^n, n) of 1 and -1; RESAMPLES of them if they are many."""
    if 2**n > MOST_COUNTED:
        return np.random.default_rng(0).choice([-1.0, 1.0], (RESAMPLES, n))
    return np.array(list(product((1.0, -1.0), repeat=n)))


def _divisions(n: int) -> np.ndarray:
    """All divisions of 2n runs into two cells, (ways, 2n) of 1 and -1; RESAMPLES of them if they are many."""
    if comb(2 * n, n) > MOST_COUNTED:
        return np.random.default_rng(0).permuted(np.tile(np.repeat([1.0, -1.0], n), (RESAMPLES, 1)), axis=1)
    ways = np.full((comb(2 * n, n), 2 * n), -1.0)
    for row, chosen in enumerate(combinations(range(2 * n), n)):
        ways[row, list(chosen)] = 1.0
    return ways


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction (1979): p-values that may each be compared with 0.05, whatever the number of tests."""
    values = np.nan_to_num(np.asarray(p_values, float), nan=1.0)
    order = np.argsort(values, kind='stable')
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def show_p(value: float) -> str:
    """'0.35', '0.016', '< 0.001'; '-' for what is not a number."""
    if not np.isfinite(value):
        return '-'
    if value < 0.001:
        return '< 0.001'
    return f'{value:.3f}' if value < 0.1 else f'{value:.2f}'
