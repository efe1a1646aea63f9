"""LeNet-5 on the digits, as a new user runs it: accuracy over seeds, and the time of the whole command.

    python -m benchmarks.lenet_digits --seeds=5

Each seed is a run of the command line in a process of its own. The first one starts with an empty compilation cache,
the others find it filled. Writes benchmarks/results/lenet_digits.json and its rows of the table in README.md.
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
FIRST_SEED = 10  # the recipes were chosen on seeds 0 to 4
README = ROOT / 'README.md'
RESULTS = ROOT / 'benchmarks' / 'results' / 'lenet_digits.json'


def run(variant: str, seed: int, folder: Path) -> dict[str, float]:
    """One training run; its test accuracy, the seconds of the whole command, and of the training in it."""
    workdir = folder / f'{variant}_{seed}'
    command = [
        *(sys.executable, '-m', 'cnn_jax.main', '--experiment=lenet_digits'),
        *(f'--config.variant={variant}', f'--seed={seed}', f'--workdir={workdir}', f'--data_dir={folder}/data'),
    ]
    environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache')}
    begin = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begin
    last = json.loads((workdir / 'metrics.jsonl').read_text().splitlines()[-1])
    return {'seed': seed, 'top1': last['top1'], 'command_seconds': seconds, 'training_seconds': last['seconds']}


def summarise(variant: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Mean and standard deviation of the accuracy, and the median times, cold and warm."""
    accuracies = [run['top1'] for run in runs]
    return {
        'variant': variant,
        'seeds': len(runs),
        'top1_mean': statistics.mean(accuracies),
        'top1_std': statistics.stdev(accuracies) if len(runs) > 1 else 0.0,
        'command_seconds_first': runs[0]['command_seconds'],
        'command_seconds_later': statistics.median(run['command_seconds'] for run in runs[1:] or runs),
        'training_seconds': statistics.median(run['training_seconds'] for run in runs),
        'runs': runs,
    }


def row(result: dict[str, Any]) -> str:
    """The README's row: variant, accuracy, seconds of the first command and of later ones."""
    return (
        f'| `lenet_digits`, {result["variant"]} | {result["top1_mean"]:.2%} ± {result["top1_std"] * 100:.2f} '
        f'| {result["seeds"]} | {result["command_seconds_first"]:.0f} s | {result["command_seconds_later"]:.0f} s '
        f'| {result["training_seconds"]:.0f} s |'
    )


def write_row(result: dict[str, Any]) -> None:
    """Puts the row in place of the one that README.md has for this variant."""
    start = row(result).partition(' | ')[0]
    lines = README.read_text().splitlines()
    README.write_text('\n'.join(row(result) if line.startswith(start) else line for line in lines) + '\n')


def machine() -> str:
    """Processor and core count, for the table."""
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    processor = models[0] if models else platform.processor()
    return f'{os.cpu_count()} cores of {processor}, Python {platform.python_version()}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--variants', nargs='+', default=['modern', 'faithful'])
    arguments = parser.parse_args()
    results = []
    for variant in arguments.variants:
        with tempfile.TemporaryDirectory() as folder:
            runs = [run(variant, seed, Path(folder)) for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds)]
        results.append(summarise(variant, runs))
        print(row(results[-1]), flush=True)
        write_row(results[-1])
    RESULTS.parent.mkdir(exist_ok=True)
    measured = {'machine': machine(), 'date': time.strftime('%Y-%m-%d'), 'results': results}
    RESULTS.write_text(json.dumps(measured, indent=2) + '\n')
    print(f'{measured["machine"]}, {measured["date"]}; written to {RESULTS} and {README}')


if __name__ == '__main__':
    main()
