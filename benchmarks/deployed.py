"""Inference of whole nets on one core, beside what people deploy.

    python -m benchmarks.deployed [--nets resnet18 resnet50 --batches 1 8 32 --rounds=5]

Peers: torch eager, traced and frozen, and by Inductor with frozen parameters; onnxruntime; OpenVINO; each with
torchvision's net, one thread, float32, and its settings as they come. Ours is what `cnn_jax.load` answers with, on the
same values. Every way has a process of its own; all are pinned to one core and take turns; a figure is the median,
over the rounds, of the process CPU time, in milliseconds per image. A process of ours has large pages for malloc, as
the command line gives it where the kernel has them; the others have what they come with. All logits are compared before
anything is timed. The peers: pip install -r requirements-bench.txt into an environment of its own. Rows that were not
measured now stay in benchmarks/results/deployed.json.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.deployed_worker import torch_module
from benchmarks.models_cpu import Worker
from cnn_jax.devices import large_pages

# Pixels on a side of the images, and torchvision's net, or the plain LeNet-5.
NETS = {'lenet5': 28, 'resnet18': 64, 'resnet50': 224, 'vgg16': 224, 'googlenet': 224, 'alexnet': 224}
WAYS = ('ours', 'torch', 'torch frozen', 'torch inductor', 'onnxruntime', 'openvino')
TARGETS = {1: 1.1, 8: 1.0, 32: 1.0}  # ours over the best peer, by batch
LOGITS = 1e-4  # the largest relative difference


def write_values(arch: str, path: Path) -> None:
    """Values for torch's net as its state dict has them: He's deviation, norms that do something."""
    rng, arrays = np.random.default_rng(0), {}
    for name, tensor in torch_module(arch).state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith('num_batches_tracked'):
            arrays[name] = np.zeros(shape, np.int64)
        elif name.endswith('running_var'):
            arrays[name] = rng.uniform(1, 3, shape).astype(np.float32)
        elif len(shape) > 1:
            arrays[name] = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        else:
            arrays[name] = rng.normal(name.endswith('weight'), 0.1, shape).astype(np.float32)
    np.savez(path, **arrays)


def measure(arch: str, batch: int, ways: list[str], path: Path, *, rounds: int, seconds: float) -> dict[str, Any]:
    """The row of one net at one batch."""
    workers = []
    try:
        for way in ways:
            workers.append(Worker(way, arch, [str(path), str(NETS[arch]), str(batch)], 'benchmarks.deployed_worker'))
        logits = [np.array(worker.first['logits']) for worker in workers]
        apart = max(float(np.abs(one - logits[0]).max() / np.abs(logits[0]).max()) for one in logits)
        if not apart <= LOGITS:
            raise SystemExit(f'{arch}, batch {batch}: the logits of {ways} differ by {apart:.0e}')
        turns = [[worker.seconds('inference', seconds) for worker in workers] for _ in range(rounds)]
        first = {worker.framework: round(worker.first['first_call'], 1) for worker in workers}
    finally:
        for worker in workers:
            worker.close()
    by_way = dict(zip(ways, zip(*turns, strict=True), strict=True))
    medians = {way: round(statistics.median(taken) / batch * 1e3, 3) for way, taken in by_way.items()}
    best = min((way for way in medians if way != 'ours'), key=lambda way: medians[way], default=None)
    return {
        'net': arch,
        'size': NETS[arch],
        'batch': batch,
        'ms_per_image': medians,
        'spread': {way: round((max(taken) - min(taken)) / min(taken), 3) for way, taken in by_way.items()},
        'first_call_seconds': first,
        'best_peer': best,
        'ours_over_best': round(medians['ours'] / medians[best], 2) if best and 'ours' in medians else None,
        'target': TARGETS.get(batch),
        'logits_apart': float(f'{apart:.1e}'),
        'date': time.strftime('%Y-%m-%d'),
    }


def text(row: dict[str, Any]) -> str:
    """One line of the table."""
    cells = ''.join(f'{row["ms_per_image"].get(way, float("nan")):>15.3f}' for way in WAYS)
    return f'{row["net"]:>10} {row["batch"]:>3}{cells}   {row["ours_over_best"]}'


def write(rows: list[dict[str, Any]]) -> None:
    path = timing.RESULTS / 'deployed.json'
    old = json.loads(path.read_text())['rows'] if path.exists() else []
    measured = {(row['net'], row['batch']) for row in rows}
    rows = [row for row in old if (row['net'], row['batch']) not in measured] + rows
    packages = ('jax', 'jaxlib', 'torch', 'torchvision', 'onnxruntime', 'openvino')
    versions = {name: importlib.metadata.version(name) for name in packages if importlib.util.find_spec(name)}
    machine = {**timing.machine(), 'malloc': f'ours {large_pages.SETTING}, peers as they come'}
    path.write_text(json.dumps({'machine': machine, 'versions': versions, 'rows': rows}, indent=1) + '\n')
    print(f'written to {path}')


def main() -> None:
    """Prints the table and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--nets', nargs='+', choices=NETS, default=list(NETS))
    parser.add_argument('--batches', nargs='+', type=int, default=list(TARGETS))
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=list(WAYS))
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='a round of little, which writes nothing')
    arguments = parser.parse_args()
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    missing = [name for name in ('torchvision', 'onnxruntime', 'openvino') if not importlib.util.find_spec(name)]
    if missing:
        sys.exit(f'not installed here: {", ".join(missing)}; pip install -r requirements-bench.txt')
    print('CPU milliseconds per image; the last column is ours over the best peer')
    print(f'{"net":>10} {"of":>3}' + ''.join(f'{way:>15}' for way in WAYS))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for arch in arguments.nets:
            path = Path(folder) / f'{arch}.npz'
            write_values(arch, path)
            rounds, seconds = (1, 0.02) if arguments.quick else (arguments.rounds, 1.0)
            for batch in arguments.batches:
                rows.append(measure(arch, batch, arguments.ways, path, rounds=rounds, seconds=seconds))
                print(text(rows[-1]), flush=True)
    if not arguments.quick:
        write(rows)


if __name__ == '__main__':
    main()
