"""Training and inference of whole models on one core: plain Linen, ours, and torch where it is installed.

    python -m benchmarks.models_cpu [--models lenet5 resnet18 --rounds=5]

Each framework runs in a process of its own; all are pinned to the same core and take turns; a figure is the median,
over the rounds, of the process CPU time of a step, per image. torch is float32, channels_last: eager, and by
`torch.compile` as it comes, for nets of one answer. Ours has large pages for malloc, as the command line gives them;
torch as it comes, and eager with large pages beside it. Inference has batch norm folded for ours only, see
`benchmarks.deployed`; there is no dropout. LeNet-5 also trains a whole epoch of 60,000 images, reading the data
included: ours from its feed, torch from a DataLoader over tensors, and over PIL images, which is how torchvision's
MNIST makes them.
The nets of the scene tasks are timed with their losses, and in inference with what reads boxes, masks and key points.
The three start from the same values: their logits and their first two losses are compared before anything is timed.
To have torch beside us: pip install -r requirements-bench.txt into an environment of its own. --quick checks that all
of it works, on small batches, and writes nothing.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.model_case import CASES, QUICK
from cnn_jax.devices import large_pages

# Ours over torch, as the project's issue on primitives has it.
TARGETS = {
    ('resnet18', 'train'): 1.0,
    ('resnet50', 'train'): 1.0,
    ('resnet18', 'inference'): 0.9,
    ('resnet50', 'inference'): 0.9,
    **{(name, part): 1.0 for name in ('localizer', 'centernet', 'fcn', 'pose') for part in ('train', 'inference')},
    ('captioner', 'train'): 1.0,
    ('question_answerer', 'train'): 1.0,
    ('lenet5', 'epoch'): 0.5,
    ('lenet5', 'epoch of PIL images'): 0.5,
}
LOGITS, LOSS = 1e-4, 1e-5  # largest relative differences
STEP = 0.03  # of what the first step changes the loss by; the gradient of ResNet-50 in float32 is 2 % off float64's


PAGED = ' in large pages'
COLUMNS = ('linen', 'ours', 'torch', f'torch{PAGED}', 'torch inductor')


class Worker:
    """A process that has one framework and one model; see benchmarks.model_worker.

    Ours has large pages for malloc, as our command line gives them; another framework has what it comes with, but
    where its name is 'torch in large pages'.
    """

    def __init__(self, framework: str, model: str, given: Sequence[str], module: str = 'benchmarks.model_worker'):
        command = [sys.executable, '-m', module, framework.removesuffix(PAGED), model, *given]
        single = {'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1', 'JAX_PLATFORMS': 'cpu'}
        gets_them = framework.startswith('ours') and large_pages.are_missing(os.environ)
        if gets_them or framework.endswith(PAGED):
            single[large_pages.TUNABLES] = large_pages.SETTING
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **single}
        )
        self.framework, self.process = framework, self._process.pid
        self.first = self._answer()
        self.parts: list[str] = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f'the worker of {self.framework} ended with code {self._process.wait()}; see above')
        return json.loads(line)

    def seconds(self, part: str, seconds: float) -> float:
        """CPU seconds of one step, or of one epoch, measured for about `seconds`."""
        assert self._process.stdin
        print(json.dumps({'part': part, 'seconds': seconds}), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def differences(workers: list[Worker]) -> dict[str, float]:
    """The largest relative differences from the first worker.

    Raises:
        SystemExit: the frameworks do not compute the same.
    """
    found = {'logits': 0.0, 'loss': 0.0, 'step': 0.0}
    reference = workers[0].first
    logits, (before, after) = np.array(reference['logits']), reference['losses']
    for worker in workers[1:]:
        apart = float(np.max(np.abs(np.array(worker.first['logits']) - logits)) / np.max(np.abs(logits)))
        loss = abs(worker.first['losses'][0] / before - 1)
        step = abs((worker.first['losses'][1] - after) / (after - before))
        for name, difference in zip(found, (apart, loss, step), strict=True):
            found[name] = max(found[name], difference)
        if not (apart <= LOGITS and loss <= LOSS and step <= STEP):
            raise SystemExit(
                f'{worker.framework} and {workers[0].framework} do not compute the same: logits differ by {apart:.0e}, '
                f'losses {worker.first["losses"]} and {reference["losses"]}'
            )
    return {name: float(f'{difference:.1e}') for name, difference in found.items()}


def measure(model: str, frameworks: list[str], *, rounds: int, quick: bool) -> list[dict[str, Any]]:
    """The rows of one model."""
    case, workers = CASES[model], []
    changes = {name: number for name, number in QUICK.items() if quick and getattr(case, name)}
    try:
        for framework in (one for one in frameworks if not (case.is_task and one in ('linen', 'torch inductor'))):
            workers.append(Worker(framework, model, [json.dumps(changes)]))
        apart = differences(workers)
        rows = []
        for part in max((worker.parts for worker in workers), key=len):
            able = [worker for worker in workers if part in worker.parts]
            if part == 'epoch of PIL images':  # the same epoch of ours
                able += [worker for worker in workers if worker.framework == 'ours']
            seconds = {worker.framework: [] for worker in able}
            for _ in range(rounds if not part.startswith('epoch') else -(-rounds // 2)):
                for worker in able:
                    own = part if part in worker.parts else 'epoch'
                    seconds[worker.framework].append(worker.seconds(own, 0.02 if quick else 1.0))
            images = changes.get('epoch', case.epoch) if part.startswith('epoch') else changes.get('batch', case.batch)
            compiling = {w.framework: round(w.first['compile_seconds'].get(part, 0), 1) for w in workers}
            rows.append(row(model, part, seconds, images, apart | {'compile_seconds': compiling}))
            print(text(rows[-1]), flush=True)
        return rows
    finally:
        for worker in workers:
            worker.close()


def row(model: str, part: str, seconds: dict[str, list[float]], images: int, more: dict[str, Any]) -> dict[str, Any]:
    """Medians in milliseconds per image, ratios, and the spread of the rounds."""
    medians = {name: statistics.median(turns) / images * 1e3 for name, turns in seconds.items()}
    ours = medians['ours']
    over = {peer: round(ours / medians[peer], 2) for peer in COLUMNS[2:] if peer in medians}
    return {
        'model': model,
        'part': part,
        'ms_per_image': {name: round(number, 4) for name, number in medians.items()},
        'spread': {name: round((max(turns) - min(turns)) / min(turns), 3) for name, turns in seconds.items()},
        'linen_over_ours': round(medians['linen'] / ours, 2) if 'linen' in medians else None,
        'ours_over_torch': over.get('torch'),
        'ours_over_torch_in_large_pages': over.get(f'torch{PAGED}'),
        'ours_over_torch_inductor': over.get('torch inductor'),
        'target': TARGETS.get((model, part)),
        'date': time.strftime('%Y-%m-%d'),
        **more,
    }


def text(row: dict[str, Any]) -> str:
    """One line of the table."""
    medians, compiling = row['ms_per_image'], row['compile_seconds']
    cells = [f'{medians[name]:9.3f}' if name in medians else ' ' * 9 for name in COLUMNS]
    gain = f'{row["linen_over_ours"]:7.2f}x' if row['linen_over_ours'] else ' ' * 8
    ratio = f'{row["ours_over_torch"]:6.2f}' if row['ours_over_torch'] else ' ' * 6
    target = f'{row["target"]:7.2f}' if row['target'] else ' ' * 7
    seconds = ' '.join(f'{number:5.1f}' for number in compiling.values()) if any(compiling.values()) else ''
    return f'{row["model"]:9} {row["part"]:20}{"".join(cells)}{gain}{ratio:>12}{target}   {seconds}'


def write(rows: list[dict[str, Any]]) -> None:
    """Writes benchmarks/results/models_cpu.json; rows of models that were not measured now stay."""
    path = timing.RESULTS / 'models_cpu.json'
    old = json.loads(path.read_text())['rows'] if path.exists() else []
    measured = {row['model'] for row in rows}
    rows = [row for row in old if row['model'] not in measured] + rows
    packages = [name for name in ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'torch') if importlib.util.find_spec(name)]
    versions = {name: importlib.metadata.version(name) for name in packages}
    machine = {**timing.machine(), 'malloc': f'ours {large_pages.SETTING}'}
    result = {'machine': machine, 'date': time.strftime('%Y-%m-%d'), 'versions': versions, 'rows': rows}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + '\n')
    print(f'written to {path}')


def main() -> None:
    """Prints the table and writes the results."""
    timing.pin_one_core(large_pages=False)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--quick', action='store_true')
    arguments = parser.parse_args()
    frameworks = ['linen', 'ours', *(COLUMNS[2:] if importlib.util.find_spec('torch') else [])]
    if 'torch' not in frameworks:
        print('torch is not installed here (requirements-bench.txt): without it')
    print('CPU milliseconds per image; compile: CPU seconds of the first call, in the order of the columns')
    names = ''.join(f'{name:>9}' for name in ('linen', 'ours', 'torch', 'paged', 'inductor'))
    print(f'{"model":9} {"part":20}{names}{"gain":>8}{"ours/torch":>12}{"target":>7}   compile')
    rows = []
    for model in arguments.models:
        rows += measure(model, frameworks, rounds=arguments.rounds, quick=arguments.quick)
    if not arguments.quick:
        write(rows)


if __name__ == '__main__':
    main()
