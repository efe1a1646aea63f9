"""LeNet-5 on the digits, as a new user runs it: accuracy over seeds, and the time of the whole command.

    python -m benchmarks.lenet_digits --seeds=5
    python -m benchmarks.lenet_digits --seeds=3 --runs resnet_digits vgg_digits alexnet_digits googlenet_digits

Each seed is a run of the command line in a process of its own. The first one starts with an empty compilation cache,
the others find it filled. Writes benchmarks/results/lenet_digits.json and its rows of docs/pages/why/results.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIRST_SEED = 10  # the recipes are chosen with seeds 0 to 9
TABLE = '| experiment | first run | later runs | of which training |'
PAGE = ROOT / 'docs' / 'pages' / 'why' / 'results.md'
RESULTS = ROOT / 'benchmarks' / 'results' / 'lenet_digits.json'


def run(label: str, seed: int, folder: Path) -> dict[str, float]:
    """One training run; its test accuracy, the seconds of the whole command, and of the training in it.

    label: 'experiment' or 'experiment, variant'.
    """
    experiment, _, variant = label.partition(', ')
    workdir = folder / str(seed)
    command = [
        *(sys.executable, '-m', 'cnn_jax.main', f'--experiment={experiment}', f'--seed={seed}'),
        *(f'--workdir={workdir}', f'--data_dir={folder}/data', *([f'--config.variant={variant}'] if variant else [])),
    ]
    environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache')}
    begin = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begin
    last = json.loads((workdir / 'metrics.jsonl').read_text().splitlines()[-1])
    return {'seed': seed, 'top1': last['top1'], 'command_seconds': seconds, 'training_seconds': last['seconds']}


def summarise(label: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Mean and standard deviation of the accuracy, and the median times, cold and warm.

    The time of training is that of the later runs, as it is a part of their time: the first one compiles in it too.
    """
    accuracies, later = [run['top1'] for run in runs], runs[1:] or runs
    return {
        'label': label,
        'seeds': len(runs),
        'top1_mean': statistics.mean(accuracies),
        'top1_std': statistics.stdev(accuracies) if len(runs) > 1 else 0.0,
        'command_seconds_first': runs[0]['command_seconds'],
        'command_seconds_later': statistics.median(run['command_seconds'] for run in later),
        'training_seconds': statistics.median(run['training_seconds'] for run in later),
        'runs': runs,
    }


def row(result: dict[str, Any]) -> str:
    """What was run, seconds of the first command and of later ones, and of the training in these."""
    return (
        f'| {result["label"]} | {result["command_seconds_first"]:.0f} s | {result["command_seconds_later"]:.0f} s '
        f'| {result["training_seconds"]:.0f} s |'
    )


def write_row(result: dict[str, Any]) -> None:
    """Puts the row in place of the one that the page has for the same."""
    before, head, table = PAGE.read_text(encoding='utf-8').partition(TABLE)
    start = f'| {result["label"]} |'
    lines = [row(result) if line.startswith(start) else line for line in table.splitlines()]
    PAGE.write_text(before + head + '\n'.join(lines) + '\n', encoding='utf-8')


def machine() -> str:
    """Processor and core count, for the table."""
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    processor = models[0] if models else platform.processor()
    return f'{os.cpu_count()} cores of {processor}, Python {platform.python_version()}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--runs', nargs='+', default=['lenet_digits, modern', 'lenet_digits, faithful'])
    arguments = parser.parse_args()
    measured = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for label in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            runs = [run(label, seed, Path(folder)) for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds)]
        result = summarise(label, runs)
        print(row(result), flush=True)
        write_row(result)
        measured[label] = {'machine': machine(), 'date': time.strftime('%Y-%m-%d'), **result}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(measured, indent=2) + '\n')
    print(f'{machine()}; written to {RESULTS} and {PAGE}')


if __name__ == '__main__':
    main()
