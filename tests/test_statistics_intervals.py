"""The interval of a mean, against scipy's, and where there is none."""

import numpy as np
from scipy import stats

from cnn_jax.statistics.intervals import mean_interval


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(0).normal(3, 2, (4, 30))
    found = mean_interval(values)
    for row, mean, reach, count in zip(values, *found, strict=True):
        low, high = stats.t.interval(0.95, 29, row.mean(), stats.sem(row))
        np.testing.assert_allclose([mean - reach, mean + reach], [low, high])
        assert count == 30


def test_values_that_are_no_numbers_do_not_count():
    values = np.array([[1.0, 2.0, np.nan], [5.0, np.nan, np.inf], [np.nan, np.nan, np.nan]])
    found = mean_interval(values)
    np.testing.assert_allclose(found.mean, [1.5, 5, np.nan])
    np.testing.assert_array_equal(found.count, [2, 1, 0])
    np.testing.assert_array_equal(np.isfinite(found.reach), [True, False, False])
