"""What a second core gives: wall time of a step on one core and on two, ours and torch eager.

    python -m benchmarks.cores [--models lenet5 resnet18 vgg11 resnet50]

The steps and batches are those of `benchmarks.models_cpu`, each way in a process of its own that is pinned to so many
cores; torch has as many threads. Ours has large pages for malloc, as the command line gives them. A figure is the
median of seven turns, in milliseconds per image. Wall time: it needs a machine that does nothing else.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

from benchmarks import timing
from benchmarks.model_case import CASES
from benchmarks.model_worker import make
from cnn_jax.devices import large_pages

MODELS = ('lenet5', 'resnet18', 'vgg11', 'resnet50')
CORES = (1, 2)
TURNS, SECONDS = 7, 0.4


def timed(way: str, model: str, cores: int) -> dict[str, float]:
    """Milliseconds per image of both parts, in this process."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    case = replace(CASES[model], epoch=0)
    steps = make(way, model, case)
    if way == 'torch':
        import torch  # pyright: ignore[reportMissingImports]

        torch.set_num_threads(cores)
    found = {}
    for part, action in (('train', steps.train), ('inference', steps.infer)):
        for _ in range(2):  # the first compiles
            steps.wait(action())
        turns = []
        for _ in range(TURNS):
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < SECONDS:
                steps.wait(action())
                count += 1
            turns.append((time.perf_counter() - begin) / count)
        found[part] = round(statistics.median(turns) / case.batch * 1e3, 4)
    return found


def measure(way: str, model: str, cores: int) -> dict[str, float]:
    """The same in a process of its own, with the malloc that its users get."""
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    if way == 'ours' and large_pages.are_missing(os.environ):
        environment[large_pages.TUNABLES] = large_pages.SETTING
    command = [sys.executable, '-m', 'benchmarks.cores', '--one', way, model, str(cores)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the table and writes benchmarks/results/cores.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', nargs='+', choices=MODELS, default=list(MODELS))
    parser.add_argument('--one', nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, model, cores = arguments.one
        print(json.dumps(timed(way, model, int(cores))))
        return
    ways = ['ours', *(['torch'] if importlib.util.find_spec('torch') else [])]
    rows: list[dict[str, Any]] = []
    print('wall milliseconds per image: ' + ', '.join(f'{way} on {cores}' for way in ways for cores in CORES))
    for model in arguments.models:
        found = {(way, cores): measure(way, model, cores) for way in ways for cores in CORES}
        for part in ('train', 'inference'):
            numbers = {f'{way} on {cores}': taken[part] for (way, cores), taken in found.items()}
            rows.append({'model': model, 'part': part, 'ms_per_image': numbers, 'date': time.strftime('%Y-%m-%d')})
            print(f'{model:>9} {part:10}' + ''.join(f'{number:>10.3f}' for number in numbers.values()), flush=True)
    path = timing.RESULTS / 'cores.json'
    machine = {**timing.machine(), 'cores': f'{" and ".join(map(str, CORES))} (pinned)'}
    path.write_text(json.dumps({'machine': machine, 'rows': rows}, indent=1) + '\n')
    print(f'written to {path}')


if __name__ == '__main__':
    main()
