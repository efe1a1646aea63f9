"""The most memory that training takes on a CPU, beside torch, and what it takes to get to the first step.

    python -m benchmarks.peak_memory [--models resnet18 resnet50 --batches 8 32]

The processes are those of `benchmarks.models_cpu`: one for each way, on the same values, pinned to one core; each
answers once, takes two steps and then trains for some seconds. The peak is that of the process, what it has loaded
included. `first step` is CPU seconds of the first training call, compiling included, from an empty cache.
Linux only: other kernels do not tell the peak of another process.
"""

import argparse
import importlib.util
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.model_case import CASES
from benchmarks.models_cpu import Worker

WAYS = ('ours', 'torch', 'torch inductor')
TARGET = 1.0  # ours over torch


def peak_megabytes(process: int) -> float:
    """The most that was ever in memory at once."""
    found = re.search(r'VmHWM:\s+(\d+) kB', Path(f'/proc/{process}/status').read_text())
    assert found
    return int(found[1]) / 1024


def measure(model: str, batch: int, ways: Sequence[str], seconds: float) -> dict[str, Any]:
    """The row of one net at one batch; the ways one after the other, as each may need most of the memory."""
    peaks, first = {}, {}
    for way in ways:
        worker = Worker(way, model, [json.dumps({'batch': batch, 'epoch': 0})])
        worker.seconds('train', seconds)
        peaks[way] = round(peak_megabytes(worker.process))
        first[way] = round(worker.first['compile_seconds']['train'], 1)
        worker.close()
    return {
        'model': model,
        'batch': batch,
        'peak_megabytes': peaks,
        'first_step_cpu_seconds': first,
        'ours_over_torch': round(peaks['ours'] / peaks['torch'], 2) if 'torch' in peaks else None,
        'target': TARGET,
        'date': time.strftime('%Y-%m-%d'),
    }


def main() -> None:
    """Prints the table and writes benchmarks/results/peak_memory.json."""
    timing.pin_one_core(large_pages=False)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = [name for name, case in CASES.items() if not case.is_task]
    parser.add_argument('--models', nargs='+', choices=models, default=['resnet18', 'resnet50'])
    parser.add_argument('--batches', nargs='+', type=int, default=[8, 32])
    parser.add_argument('--seconds', type=float, default=5.0, help='for which each way trains')
    arguments = parser.parse_args()
    ways = WAYS if importlib.util.find_spec('torch') else WAYS[:1]
    print(f'{"net":>10} {"of":>3}   MB at the peak; CPU seconds to the first step: {", ".join(ways)}')
    rows = []
    for model in arguments.models:
        for batch in arguments.batches:
            rows.append(row := measure(model, batch, ways, arguments.seconds))
            cells = ''.join(f'{row["peak_megabytes"][way]:>8}{row["first_step_cpu_seconds"][way]:>7}' for way in ways)
            print(f'{model:>10} {batch:>3}{cells}   {row["ours_over_torch"]}', flush=True)
    path = timing.RESULTS / 'peak_memory.json'
    path.write_text(json.dumps({'machine': timing.machine(), 'rows': rows}, indent=1) + '\n')
    print(f'written to {path}')


if __name__ == '__main__':
    main()
