"""The constants of the digits' recipes, chosen on held-out images: ten seeds, each with a tenth of its own.

    python -m benchmarks.choose_digits                          # all recipes; hours on two cores
    python -m benchmarks.choose_digits 'lenet_digits, modern'   # some; a grid that was begun goes on
    python -m benchmarks.choose_digits --workdir=runs/choose

Each recipe is a grid of `--mode=ablate`, compared by the plain cross-entropy on validation images. The cell with the
lowest mean is the recipe's default, and its runs alone are looked at on the test split. Writes
benchmarks/results/choose_digits.json and the rows of docs/pages/why/results.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.lenet_digits import PAGE, ROOT, TABLE, machine

RESULTS = ROOT / 'benchmarks' / 'results' / 'choose_digits.json'
SEEDS = 10


class Choice(NamedTuple):
    """A recipe with what is varied of it; the first values are those that it had before."""

    experiment: str
    options: dict[str, str]
    vary: dict[str, str]


RECIPES = {
    'lenet_digits, modern': Choice(
        'lenet_digits', {}, {'learning_rate': '4e-3,2e-3,8e-3,1.6e-2', 'max_shift': '3,2,1'}
    ),
    'lenet_digits, faithful': Choice('lenet_digits', {'variant': 'faithful'}, {'learning_rate': '1e-2,5e-3,2e-2,4e-2'}),
    'alexnet_digits': Choice('alexnet_digits', {}, {'learning_rate': '2e-3,1e-3,4e-3'}),
    'vgg_digits': Choice('vgg_digits', {}, {'learning_rate': '2e-3,1e-3,4e-3'}),
    'googlenet_digits': Choice('googlenet_digits', {}, {'learning_rate': '4e-3,2e-3'}),
    'resnet_digits': Choice('resnet_digits', {}, {'learning_rate': '4e-3,8e-3'}),
}


def run(choice: Choice, folder: Path, *more: str, seeds: int = SEEDS) -> None:
    """Runs a grid, or what is left of it; more: flags."""
    given = [f'--config.{name}={value}' for name, value in choice.options.items()]
    given += [f'--vary.{name}={values}' for name, values in choice.vary.items()]
    line = [sys.executable, '-m', 'cnn_jax.main', '--mode=ablate', f'--experiment={choice.experiment}', *given]
    line += [f'--seeds={seeds}', f'--workdir={folder}', '--nopictures', *more]
    subprocess.run(line, cwd=ROOT, check=True)


def read(folder: Path) -> tuple[Any, Any, list[dict[str, Any]]]:
    """The summary of a finished grid, the row of the cell that was chosen, and its test scores, seed by seed."""
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
    return summary, chosen, tested


def measure(folder: Path) -> dict[str, Any]:
    """The mean cross-entropy of each cell, and the test accuracies of the chosen one."""
    summary, chosen, tested = read(folder)
    scores = [line['top1'] for line in tested]
    return {
        'machine': machine(),
        'date': time.strftime('%Y-%m-%d'),
        'seeds': len(scores),
        'cross_entropy': {row.name: row.mean for row in summary.rows},
        'chosen': chosen.name,
        'options': summary.grid.variants[chosen.name],
        'test_top1': scores,
        'training_seconds': chosen.seconds,
    }


def row(label: str, found: dict[str, Any]) -> str:
    """The row of the page: recipe, what was chosen, accuracy, seeds, seconds of training, machine and date."""
    scores = found['test_top1']
    return (
        f'| {label} | {found["chosen"].replace(",", ", ")} '
        f'| {statistics.mean(scores):.2%} ± {100 * statistics.stdev(scores):.2f} | {len(scores)} '
        f'| {found["training_seconds"]:.0f} s | {found["machine"]}, {found["date"]} |'
    )


def write_row(label: str, text: str) -> None:
    """Puts a row in place of the one that the page has for the same recipe."""
    before, head, rest = PAGE.read_text(encoding='utf-8').partition(TABLE)  # of the times, which comes after
    lines = [text if line.startswith(f'| {label} |') else line for line in before.splitlines()]
    PAGE.write_text('\n'.join(lines) + '\n' + head + rest, encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('recipes', nargs='*', default=list(RECIPES))
    parser.add_argument('--workdir', type=Path, default=ROOT / 'runs' / 'choose')
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    for label in arguments.recipes:
        folder = arguments.workdir / label.replace(', ', '_')
        run(RECIPES[label], folder, '--metric=cross_entropy')
        results[label] = measure(folder)
        RESULTS.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
        write_row(label, row(label, results[label]))
        print(row(label, results[label]), flush=True)


if __name__ == '__main__':
    main()
