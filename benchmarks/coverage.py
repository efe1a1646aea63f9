"""How often the numbers of an ablation are right: intervals, the test, and the verdict 'no better', on made-up runs.

    python -m benchmarks.coverage

Writes benchmarks/results/coverage.json. Each kind of runs has a known difference. The table says in how many of 20,000
comparisons the 95 % interval of `significance.compare` (Student's t) holds it, and that of the bootstrap of
percentiles, which it replaced, in how many of 2,000; how often the permutation test finds a difference where there is
none (2,000); and how often a gain of exactly the margin is called 'no better'.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.lenet_digits import machine
from cnn_jax.statistics.significance import ALPHA, compare, t_interval

RESULTS = Path(__file__).parent / 'results' / 'coverage.json'
COUNTS = (2, 3, 4, 5, 6, 8, 10, 20)  # pairs
INTERVALS, SLOW, RESAMPLES = 20_000, 2_000, 999
IMAGES = 360

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def counted(deviation: float) -> Draw:
    """Accuracies on the digits: 350 of 360 images in the mean, with a deviation in images."""
    return lambda rng, shape: np.clip(np.rint(rng.normal(350, deviation, shape)), 0, IMAGES) / IMAGES


def failing(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Losses of which one run in ten is five deviations worse."""
    return rng.normal(0, 1, shape) + 5 * (rng.random(shape) < 0.1)


ONE_SIDED = 'exponential, one cell'
KINDS: dict[str, Draw] = {
    'normal': lambda rng, shape: rng.normal(0, 1, shape),
    'counted, 3 images': counted(3.0),
    'counted, 1 image': counted(1.0),
    'exponential': lambda rng, shape: rng.exponential(1, shape),
    'one in ten fails': failing,
    ONE_SIDED: lambda rng, shape: rng.exponential(1, shape),  # and no noise in the other: as skewed as it can be
}


def cells(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs of two cells, (INTERVALS, n) each, whose differences are 0 in the mean."""
    rng, draw = np.random.default_rng(n), KINDS[name]
    one = draw(rng, (INTERVALS, n))
    return one, np.ones_like(one) if name == ONE_SIDED else draw(rng, (INTERVALS, n))


def by_bootstrap(found: np.ndarray) -> np.ndarray:
    """Whether the percentile interval of each row holds 0, (trials,)."""
    rng = np.random.default_rng(0)
    n = found.shape[1]
    means = np.stack([row[rng.integers(0, n, (RESAMPLES, n))].mean(1) for row in found])
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    return (low <= 0) & (high >= 0)


def measure(name: str, n: int) -> dict[str, float]:
    """Shares of right and wrong answers of n pairs."""
    one, other = cells(name, n)
    found = one - other
    ends = np.array([t_interval(row) for row in found[:SLOW]])
    reach = stats.t.ppf(1 - ALPHA / 2, n - 1) * found.std(1, ddof=1) / n**0.5
    np.testing.assert_allclose(ends[:, 1], (found.mean(1) + reach)[:SLOW], rtol=1e-9, atol=1e-12)
    return {
        't': float(np.mean(np.abs(found.mean(1)) <= reach * (1 + 1e-12))),
        'bootstrap': float(np.mean(by_bootstrap(found[:SLOW]))),
        'test': float(np.mean([compare(*pair).p <= ALPHA for pair in zip(one[:SLOW], other[:SLOW], strict=True)])),
        'no better': float(np.mean(found.mean(1) + reach < 0)),
    }


def main() -> None:
    shares: dict[str, dict[str, dict[str, float]]] = {}
    print(f'{"runs":<22} pairs  interval holds: t  bootstrap  test finds  said no better')
    for name in KINDS:
        for n in COUNTS:
            found = measure(name, n)
            shares.setdefault(name, {})[str(n)] = found
            cells = (f'{found["t"]:18.1%}', f'{found["bootstrap"]:10.1%}', f'{found["test"]:11.1%}')
            print(f'{name:<22} {n:>5} {"".join(cells)} {found["no better"]:15.1%}', flush=True)
    result: dict[str, Any] = {'machine': machine(), 'date': time.strftime('%Y-%m-%d'), 'shares': shares}
    RESULTS.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
