"""Whether a difference between two sets of runs is more than noise."""

import warnings
from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np

ALPHA = 0.05
RESAMPLES = 9_999


class Comparison(NamedTuple):
    """Runs of one cell against runs of another with the same seeds.

    Attributes:
        n: pairs.
        difference: mean of the paired differences.
        low, high: its 95 % bootstrap interval; not numbers for fewer than two pairs.
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

    The interval is the bootstrap's over the paired differences (BCa, Efron 1987; percentiles where that is not
    defined). With few pairs it is too narrow, so it decides nothing; the test does.
    """
    one, other = np.asarray(values, float), np.asarray(others, float)
    n = len(one)
    if n == 0:
        return Comparison(0, *[float('nan')] * 4)
    low, high = _interval(one - other)
    return Comparison(n, float(np.mean(one - other)), low, high, _p_value(one, other, comparisons))


def _interval(differences: np.ndarray) -> tuple[float, float]:
    from scipy import stats

    if len(differences) < 2:
        return float('nan'), float('nan')
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', stats.DegenerateDataWarning)
        for method in ('BCa', 'percentile'):
            found = stats.bootstrap(
                (differences,), np.mean, method=method, n_resamples=RESAMPLES, rng=np.random.default_rng(0)
            ).confidence_interval
            if np.isfinite([found.low, found.high]).all():
                break
    return float(found.low), float(found.high)


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
    """
    from scipy import stats

    if len(one) < 2:
        return 1.0
    found = stats.permutation_test(
        (one, other),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        permutation_type='samples' if flips_signs(len(one), comparisons) else 'independent',
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


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
