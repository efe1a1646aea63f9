"""Several seeds of lenet_digits, in the ways there are; and the papers' ablations at desk size.

    python -m benchmarks.ablate                    # five runs, one process with five seeds, five seeds at once
    python -m benchmarks.ablate --papers           # all of experiments/ablations; writes its README.md
    python -m benchmarks.ablate --papers lrn depth

Writes benchmarks/results/ablate.json; of the papers, the scores of all runs in benchmarks/results/ablations.json, so
that verdicts can be computed again. The compilation cache is empty at the start of each way.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.lenet_digits import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / 'benchmarks' / 'results' / 'ablate.json'
SCORES = RESULTS.with_name('ablations.json')
README = ROOT / 'experiments' / 'ablations' / 'README.md'
START, END = '<!-- measured -->', '<!-- end of measured -->'
SEEDS = 5


def command(folder: Path, *flags: str) -> float:
    """Seconds of a command line of ours, with data and compilation cache below `folder`."""
    environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache')}
    begin = time.monotonic()
    line = [sys.executable, '-m', 'cnn_jax.main', f'--data_dir={folder.parent}/data', *flags]
    subprocess.run(line, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def five_runs(folder: Path) -> float:
    """Each seed with a command of its own, as without this mode."""
    flags = [[f'--seed={seed}', f'--workdir={folder}/{seed}'] for seed in range(SEEDS)]
    return sum(command(folder, '--experiment=lenet_digits', *more) for more in flags)


def one_process(folder: Path, *more: str) -> float:
    """`--mode=ablate --seeds=5`, the table and the page included."""
    flags = ('--mode=ablate', '--experiment=lenet_digits', f'--seeds={SEEDS}', f'--workdir={folder}/grid')
    return command(folder, *flags, *more)


def steps(num_steps: int = 100) -> dict[str, float]:
    """Milliseconds of a step of all seeds, one after the other and at once, without compilation."""
    import jax

    from cnn_jax.ablate.cells import Shared
    from cnn_jax.ablate.together import Together, stack
    from cnn_jax.data.pipeline import default_data_dir
    from cnn_jax.devices.stop import StopRequest
    from cnn_jax.experiment import load

    shared = Shared(load('lenet_digits', {}), data_dir=default_data_dir(), stop=StopRequest())
    at_once = Together([(shared, seed) for seed in range(SEEDS)], [shared])
    setup = shared.setup
    stacked, _ = at_once.step(stack([setup.initial_state(seed) for seed in range(SEEDS)]), at_once.batch(0))
    feed = setup.open_feed(0)
    single, _ = setup.train_step(setup.initial_state(0), feed.train(0))
    jax.block_until_ready((stacked, single))
    begin = time.monotonic()
    for step in range(1, num_steps + 1):
        stacked, _ = at_once.step(stacked, at_once.batch(step))
    jax.block_until_ready(stacked)
    middle = time.monotonic()
    for step in range(1, num_steps + 1):
        single, _ = setup.train_step(single, feed.train(step))
    jax.block_until_ready(single)
    end = time.monotonic()
    scale = 1e3 / num_steps
    return {'at_once_ms': (middle - begin) * scale, 'one_after_the_other_ms': SEEDS * (end - middle) * scale}


def measure_seeds() -> dict[str, Any]:
    """The ways, as a user meets them, and the steps alone."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ('prepared', 'five_runs', 'one_process', 'two_processes')]
        for place in places:
            place.mkdir()
        command(places[0], '--mode=prepare', '--experiment=lenet_digits')
        found = {
            'five_runs_seconds': five_runs(places[1]),
            'one_process_seconds': one_process(places[2]),
            'two_processes_seconds': one_process(places[3], '--jobs=2'),
        }
    return {**found, **steps()}


def papers(names: list[str], folder: Path) -> dict[str, str]:
    """Runs ablations, each in a folder below `folder` that keeps its runs; their tables as Markdown."""
    tables = {}
    for name in names:
        line = [sys.executable, '-m', 'cnn_jax.main', '--mode=ablate', f'--experiment=ablations/{name}']
        begin = time.monotonic()
        subprocess.run([*line, f'--workdir={folder}/{name}'], cwd=ROOT, check=True)
        tables[name] = (folder / name / 'table.md').read_text()
        keep_scores(name, scores_of(folder / name))
        print(f'{name}: {time.monotonic() - begin:.0f} s', flush=True)
    return tables


def scores_of(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The score of each run of a grid: by metric (the ablation's, and those of its claims), cell and seed."""
    from cnn_jax.ablate.grid import read_grid
    from cnn_jax.ablate.score import score
    from cnn_jax.ablate.summary import summarise
    from cnn_jax.ablation import published

    grid = read_grid(folder)
    assert grid is not None, f'no grid in {folder}'
    found = summarise(grid, folder, published(grid.experiment))
    metrics = [found.metric, *(claim.metric for claim in found.claims)]
    return {
        metric.name: {
            cell: {str(seed): score(found.outcomes[cell, seed].lines, metric) for seed in grid.seeds}
            for cell in grid.variants
        }
        for metric in metrics
    }


def keep_scores(name: str, scores: dict[str, dict[str, dict[str, float]]]) -> None:
    """Puts the scores of an ablation in place of its old ones."""
    kept = json.loads(SCORES.read_text()) if SCORES.exists() else {}
    kept[name] = {'machine': machine(), 'date': time.strftime('%Y-%m-%d'), 'scores': scores}
    SCORES.write_text(json.dumps(kept, indent=1) + '\n')


def write_readme(tables: dict[str, str]) -> None:
    """Puts the tables between the marks of the README, in place of those of the same ablations."""
    before, _, rest = README.read_text().partition(START)
    old, _, after = rest.partition(END)
    parts = dict(part.split('\n', 1) for part in old.split('\n### ')[1:])
    stamp = f'{time.strftime("%Y-%m-%d")}, {machine()}.'
    parts |= {name: f'\n{stamp}\n\n{table.strip()}\n' for name, table in tables.items()}
    body = ''.join(f'\n### {name}\n{parts[name].rstrip()}\n' for name in sorted(parts))
    README.write_text(f'{before}{START}\n{body}\n{END}{after}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--papers', nargs='*')
    parser.add_argument('--workdir', type=Path, default=Path('runs/ablations'))
    arguments = parser.parse_args()
    if arguments.papers is not None:
        found = sorted(path.stem for path in README.parent.glob('[!_]*.py'))
        write_readme(papers(arguments.papers or found, arguments.workdir))
        return
    result = {'machine': machine(), 'date': time.strftime('%Y-%m-%d'), 'seeds': SEEDS, **measure_seeds()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + '\n')
    for name, value in result.items():
        print(f'{name:<26} {value:.1f}' if isinstance(value, float) else f'{name:<26} {value}')


if __name__ == '__main__':
    main()
