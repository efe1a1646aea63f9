"""Times compiled functions side by side on one pinned core, by process CPU time, so that other jobs hardly matter."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

RESULTS = Path(__file__).parent / 'results'


def pin_one_core(*, large_pages: bool = True) -> None:
    """Pins this process to one core and starts it again with large pages for malloc. Call before anything else.

    large_pages: whether to start again; a benchmark of processes says itself what each of them has.

    Without large pages the kernel's page faults on fresh buffers cost more than many of the operations: glibc gives a
    buffer above 32 MB back each time. Does what the platform can: on Linux both, elsewhere nothing.
    """
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if large_pages and sys.platform == 'linux' and 'GLIBC_TUNABLES' not in os.environ:
        os.environ['GLIBC_TUNABLES'] = 'glibc.malloc.hugetlb=1'
        os.execv(sys.executable, sys.orig_argv)


def alternately(
    functions: Sequence[Callable[..., Any]], arguments: Sequence[Any], *, rounds: int = 7, seconds: float = 0.05
) -> tuple[list[float], list[float], float]:
    """Returns median milliseconds of each function, its seconds to compile, and the largest relative difference.

    The functions are compiled, then run in turn, `rounds` times, each for about `seconds`. The difference is that of
    any output from the first function's, over the largest value of that output.
    """
    compiled, compile_seconds, outputs, repeats = [], [], [], []
    for function in functions:
        start = time.process_time()
        compiled.append(jax.jit(function).lower(*arguments).compile())
        compile_seconds.append(time.process_time() - start)
        outputs.append([np.asarray(a, np.float64) for a in jax.tree.leaves(compiled[-1](*arguments))])
        start = time.process_time()
        jax.block_until_ready(compiled[-1](*arguments))
        repeats.append(max(1, min(500, round(seconds / max(time.process_time() - start, 1e-6)))))
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, count, taken in zip(compiled, repeats, times, strict=True):
            start = time.process_time()
            for _ in range(count):
                result = function(*arguments)
            jax.block_until_ready(result)
            taken.append((time.process_time() - start) / count * 1e3)
    difference = max(
        (
            float(np.max(np.abs(a - b)) / max(np.max(np.abs(a)), 1e-30))
            for o in outputs[1:]
            for a, b in zip(outputs[0], o, strict=True)
        ),
        default=0.0,
    )
    return [statistics.median(t) for t in times], compile_seconds, difference


def machine() -> dict[str, str]:
    """Returns what the figures depend on."""
    name = platform.processor()
    info = Path('/proc/cpuinfo')
    if info.exists():
        name = next((row.split(':')[1].strip() for row in info.read_text().splitlines() if 'model name' in row), name)
    return {
        'cpu': name,
        'cores': '1 (pinned)',
        'malloc': os.environ.get('GLIBC_TUNABLES', ''),
        'jax': jax.__version__,
        'python': platform.python_version(),
    }


def write(name: str, rows: list[dict[str, Any]]) -> Path:
    """Writes rows and the machine to benchmarks/results/<name>.json and returns the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f'{name}.json'
    path.write_text(json.dumps({'machine': machine(), 'rows': rows}, indent=1) + '\n')
    return path
