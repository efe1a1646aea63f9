"""What the scene experiments reach: five seeds of each, on validation and, once for each seed, on the test scenes.

    python -m benchmarks.scenes                   # all; an hour on two cores
    python -m benchmarks.scenes scenes_pose       # some; what was begun goes on

Each is a grid of `--mode=ablate`. Where it has several cells, the mean of the headline on validation chooses one, and
only its runs are looked at on the test split. Writes benchmarks/results/scenes.json and the rows of README.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.lenet_digits import README, ROOT, machine

RESULTS = ROOT / 'benchmarks' / 'results' / 'scenes.json'
SEEDS = 5
VARIED = {  # the defaults first
    'scenes_localize': {'learning_rate': '3e-3'},
    'scenes_detect': {'learning_rate': '3e-3'},
    'scenes_segment': {'learning_rate': '3e-3'},
    'scenes_pose': {'learning_rate': '3e-3'},
}
SHOWN = {  # the headline, one beside it and the blind baseline, with what the table says of them
    'scenes_localize': {'localized': '', 'top1': ' (class)', 'blind': ''},
    'scenes_detect': {'ap': '', 'ap50': ' (AP50)', 'blind': ''},
    'scenes_segment': {'miou': '', 'figure_ground': ' (figure and ground)', 'blind': ''},
    'scenes_pose': {'pck': '', 'oks_ap': ' (AP of OKS)', 'blind': ''},
}


def run(name: str, folder: Path) -> None:
    """Runs the grid of an experiment, or what is left of it."""
    given = [f'--vary.{option}={values}' for option, values in VARIED[name].items()]
    line = [sys.executable, '-m', 'cnn_jax.main', '--mode=ablate', f'--experiment={name}', *given]
    line += [f'--seeds={SEEDS}', f'--workdir={folder}', '--nopictures']
    subprocess.run(line, cwd=ROOT, check=True)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """The headline of each cell on validation, and the test scores of the chosen one."""
    from cnn_jax.ablate.chosen import choose
    from cnn_jax.ablate.grid import read_grid
    from cnn_jax.ablate.summary import summarise
    from cnn_jax.workdir.log import read_metrics

    grid = read_grid(folder)
    assert grid is not None, f'no grid in {folder}'
    summary = summarise(grid, folder)
    chosen = choose(summary)
    assert chosen is not None, f'{folder} is not finished'
    runs = [read_metrics(folder / chosen.name / f'seed_{seed}') for seed in grid.seeds]
    tested = [next(line for line in reversed(lines) if line['split'] == 'test') for lines in runs]
    return {
        'machine': machine(),
        'date': time.strftime('%Y-%m-%d'),
        'validation': {row.name: list(row.scores.values()) for row in summary.rows},
        'chosen': chosen.name,
        'test': {metric: [line[metric] for line in tested] for metric in SHOWN[name]},
        'training_seconds': [line['seconds'] for line in tested],
    }


def row(name: str, found: dict[str, Any]) -> str:
    """The row of the README: three metrics over the seeds, and the seconds of training."""
    *besides, blind = SHOWN[name]
    cells = [_mean(found['test'][metric]) + SHOWN[name][metric] for metric in besides]
    cells.append(f'{100 * statistics.mean(found["test"][blind]):.1f}')
    return f'| `{name}` | {" | ".join(cells)} | {statistics.median(found["training_seconds"]):.0f} s |'


def _mean(scores: list[float]) -> str:
    return f'{100 * statistics.mean(scores):.1f} ± {100 * statistics.stdev(scores):.1f}'


def write_row(name: str, text: str) -> None:
    """Puts a row in the place of the one that README.md has for the same experiment's results."""
    lines = README.read_text(encoding='utf-8').splitlines()
    lines = [text if line.startswith(f'| `{name}` |') else line for line in lines]
    README.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('experiments', nargs='*', default=list(VARIED))
    parser.add_argument('--workdir', type=Path, default=ROOT / 'runs' / 'scenes')
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    for name in arguments.experiments:
        folder = arguments.workdir / name
        run(name, folder)
        results[name] = measure(name, folder)
        RESULTS.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
        write_row(name, row(name, results[name]))
        print(row(name, results[name]), flush=True)


if __name__ == '__main__':
    main()
