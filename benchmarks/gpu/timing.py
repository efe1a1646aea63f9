"""Wall time of steps that run on a device while Python goes on."""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

SAMPLE_SECONDS = 0.2  # of steps between two waits, so that waiting itself does not count
LEAST_SAMPLES = 5


def measure(step: Callable[[int], Any], wait: Callable[[Any], Any], seconds: float) -> dict[str, Any]:
    """Calls step(0), step(1), ... for about `seconds` after the first call and a warm-up.

    step: starts the work on batch i and returns its result. wait: blocks until a result is there, and returns it as a
    number (a loss, the sum of scores).

    Returns:
        `first_call_seconds` (mostly compiling), `milliseconds` (the median over samples of a step's blocked wall time),
        `spread` (of the middle half of the samples, over the median), `samples`, `last` (the last result).

    Raises:
        FloatingPointError: a result that is not finite.
    """
    begin = time.perf_counter()
    _check(wait(step(0)))
    first = time.perf_counter() - begin
    for number in range(1, 4):
        result = step(number)
    wait(result)
    begin = time.perf_counter()
    wait(step(4))
    steps = max(1, min(100, round(SAMPLE_SECONDS / max(time.perf_counter() - begin, 1e-6))))
    number, samples, end = 5, [], time.perf_counter() + seconds
    while len(samples) < LEAST_SAMPLES or time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(steps):
            result = step(number)
            number += 1
        last = wait(result)
        samples.append((time.perf_counter() - begin) / steps)
        _check(last)
    quarters = statistics.quantiles(samples, n=4)
    return {
        'first_call_seconds': round(first, 2),
        'milliseconds': round(1e3 * quarters[1], 4),
        'spread': round((quarters[2] - quarters[0]) / quarters[1], 4),
        'samples': len(samples),
        'last': last,
    }


def _check(number: float) -> None:
    if not math.isfinite(number):
        raise FloatingPointError(f'a step gave {number}')
