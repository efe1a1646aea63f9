"""What the scene experiments reach: five seeds of each, on validation and, once for each seed, on the test scenes.

    python -m benchmarks.scenes                   # all; an hour on two cores
    python -m benchmarks.scenes scenes_pose       # some; what was begun goes on

Each is a grid of `--mode=ablate` with one cell, the default. Captions and questions start from the first seed of
detection, which has seen digits that other seeds hold out for validation, and none of the test scenes. Writes
benchmarks/results/scenes.json and the rows of docs/pages/howto/tasks.md.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.choose_digits import Choice, read, run
from benchmarks.lenet_digits import ROOT, machine

PAGE = ROOT / 'docs' / 'pages' / 'howto' / 'tasks.md'
RESULTS = ROOT / 'benchmarks' / 'results' / 'scenes.json'
SEEDS = 5
VARY = {'batch_size': '32'}  # a grid of one cell, the default
SHOWN = {  # the headline, one beside it and the blind baseline, with what the table says of them
    'scenes_localize': {'localized': '', 'top1': ' (class)', 'blind': ''},
    'scenes_detect': {'ap': '', 'ap50': ' (AP50)', 'blind': ''},
    'scenes_segment': {'miou': '', 'figure_ground': ' (figure and ground)', 'blind': ''},
    'scenes_pose': {'pck': '', 'oks_ap': ' (AP of OKS)', 'blind': ''},
    'scenes_caption': {'exact': '', 'bleu4': ' (BLEU-4)', 'blind': ''},
    'scenes_vqa': {'accuracy': '', 'shuffled': ' (with another image)', 'blind': ''},
    'scenes_point': {'accuracy': '', 'shuffled': ' (with another image)', 'blind': ''},
}
TRUNK = 'scenes_detect'
STARTED = ('scenes_caption', 'scenes_vqa', 'scenes_point')  # what begins with its trunk and pyramid


def start(name: str, workdir: Path, trunk: Path | None) -> list[str]:
    """The flag for the trunk that an experiment begins with.

    Raises:
        SystemExit: the runs that train it are not there.
    """
    if name not in STARTED:
        return []
    folder = workdir / TRUNK
    if trunk is None and not folder.is_dir():
        raise SystemExit(
            f'{name} begins with a trunk of {TRUNK}; run benchmarks.scenes {TRUNK}, or give --init_from=RUN'
        )
    return [f'--init_from={trunk or folder / read(folder)[1].name / "seed_0"}']


def measure(name: str, folder: Path) -> dict[str, Any]:
    """The headline on validation and the scores on test, seed by seed."""
    summary, chosen, tested = read(folder)
    return {
        'machine': machine(),
        'date': time.strftime('%Y-%m-%d'),
        'validation': {row.name: list(row.scores.values()) for row in summary.rows},
        'chosen': chosen.name,
        'test': {metric: [line[metric] for line in tested] for metric in SHOWN[name]},
        'training_seconds': [line['seconds'] for line in tested],
    }


def row(name: str, found: dict[str, Any]) -> str:
    """The page's row: three metrics over the seeds, and the seconds of training."""
    *besides, blind = SHOWN[name]
    cells = [_mean(found['test'][metric]) + SHOWN[name][metric] for metric in besides]
    cells.append(f'{100 * statistics.mean(found["test"][blind]):.1f}')
    return f'| `{name}` | {" | ".join(cells)} | {statistics.median(found["training_seconds"]):.0f} s |'


def _mean(scores: list[float]) -> str:
    return f'{100 * statistics.mean(scores):.1f} ± {100 * statistics.stdev(scores):.1f}'


def write_row(name: str, text: str) -> None:
    """Puts a row in the place of the page's row of the same experiment; says so where there is none."""
    lines = PAGE.read_text(encoding='utf-8').splitlines()
    if not any(line.startswith(f'| `{name}` |') for line in lines):
        print(f'{PAGE} has no row of {name}; put this one into its table:', flush=True)
    lines = [text if line.startswith(f'| `{name}` |') else line for line in lines]
    PAGE.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('experiments', nargs='*', default=list(SHOWN))
    parser.add_argument('--workdir', type=Path, default=ROOT / 'runs' / 'scenes')
    parser.add_argument('--init_from', type=Path, help='a run of scenes_detect; default: its first seed in --workdir')
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    for name in arguments.experiments:
        folder = arguments.workdir / name
        run(Choice(name, {}, VARY), folder, *start(name, arguments.workdir, arguments.init_from), seeds=SEEDS)
        results[name] = measure(name, folder)
        RESULTS.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
        write_row(name, row(name, results[name]))
        print(row(name, results[name]), flush=True)


if __name__ == '__main__':
    main()
