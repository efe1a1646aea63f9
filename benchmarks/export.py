"""Serving on one core: our compiled net, the StableHLO file and the ONNX file under onnxruntime, in one run.

    python -m benchmarks.export [--nets resnet18 --rounds=5]

Each net is exported as `--mode=export` does it, with made-up weights of the usual size. The three have the same images
(uint8) and the same answers, which are compared first. They take turns on one pinned core, onnxruntime with one thread;
a figure is the median, over the rounds, of the process CPU time of an image, in milliseconds. `net` is the jitted
evaluation, with the weights as arguments, that `--mode=evaluate` and the check of an export run. Writes
benchmarks/results/export.json.
"""

import argparse
import importlib.metadata
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.export
import numpy as np

from benchmarks import timing
from benchmarks.model_jax import starting_variables
from cnn_jax.export.check import TOLERANCE

NETS: dict[str, tuple[str, dict[str, Any]]] = {
    'lenet': ('lenet_mnist', {}),
    'alexnet': ('alexnet_imagenet', {}),
    'googlenet': ('googlenet_imagenet', {}),
    'vgg11': ('vgg_imagenet', {'variant': 'A'}),
    'resnet18': ('resnet_imagenet', {'depth': 18}),
    'resnet50': ('resnet_imagenet', {'depth': 50}),
}
BATCHES = (1, 32)
SERVERS = ('net', 'stablehlo', 'onnxruntime')
SECONDS = 0.5  # of one turn, at least one call

Call = Callable[[np.ndarray], Any]


def make_calls(name: str, options: dict[str, Any]) -> tuple[dict[str, Call], tuple[int, int, int]]:
    """What answers images, by its name in SERVERS, and the shape of an image."""
    import onnxruntime

    from cnn_jax import experiment
    from cnn_jax.export.function import make_function
    from cnn_jax.export.readme import ONNX, STABLEHLO
    from cnn_jax.export.run import Trained

    made = experiment.load(name, options).experiment
    variables = starting_variables(made.model, jax.numpy.zeros((1, *made.input_shape)))
    net, function = Trained(made, jax.device_get(variables), name), jax.jit(make_function(made))
    hlo = jax.jit(jax.export.deserialize(bytearray(net.write(STABLEHLO))).call)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(net.write(ONNX), settings, providers=['CPUExecutionProvider'])
    calls: dict[str, Call] = {
        'net': lambda images: np.asarray(function(variables, images)['probabilities']),
        'stablehlo': lambda images: np.asarray(hlo(images)),
        'onnxruntime': lambda images: session.run(None, {'images': images})[0],
    }
    return calls, made.data.image_shape


def measure(name: str, options: dict[str, Any], rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each batch size: milliseconds of an image by server, and how far their answers are apart."""
    calls, shape = make_calls(name, options)
    for batch in BATCHES:
        images = np.random.default_rng(0).integers(0, 256, (batch, *shape), np.uint8)
        answers = {server: call(images) for server, call in calls.items()}  # compiles
        apart = max(float(np.abs(answer - answers['net']).max()) for answer in answers.values())
        if apart > TOLERANCE:  # `--mode=export` would refuse it too
            print(f'{name}, batch {batch}: left out, the answers differ by {apart:.1e}', flush=True)
            continue
        times: dict[str, list[float]] = {server: [] for server in calls}
        for number in range(rounds + 1):
            for server in calls if number % 2 else reversed(calls):
                taken = _turn(calls[server], images)
                times[server] += [taken] if number else []  # the first turn warms up
        yield {
            'batch': batch,
            'ms_per_image': {server: round(statistics.median(taken), 4) for server, taken in times.items()},
            'spread': {server: round(max(taken) / min(taken) - 1, 3) for server, taken in times.items()},
            'apart': apart,
        }


def _turn(call: Call, images: np.ndarray) -> float:
    """Milliseconds of process CPU time of an image."""
    begin, count = time.process_time(), 0
    while not count or time.process_time() - begin < SECONDS:
        call(images)
        count += 1
    return (time.process_time() - begin) / count / len(images) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--nets', nargs='*', choices=NETS, default=list(NETS), help='which')
    parser.add_argument('--rounds', type=int, default=5)
    given = parser.parse_args()
    timing.pin_one_core()
    versions = {name: importlib.metadata.version(name) for name in ('onnx', 'onnxruntime', 'jaxlib')}
    rows, path = [], None
    print(f'{"ms of an image":<24}{"".join(f"{server:>13}" for server in SERVERS)}{"file/net":>11}{"net/onnxr.":>11}')
    for net in given.nets:
        for row in measure(*NETS[net], given.rounds):
            figures = row['ms_per_image']
            ratios = figures['stablehlo'] / figures['net'], figures['net'] / figures['onnxruntime']
            shown = ''.join(f'{figures[server]:>13.3f}' for server in SERVERS)
            print(f'{net + ", batch " + str(row["batch"]):<24}{shown}{ratios[0]:>11.2f}{ratios[1]:>11.2f}', flush=True)
            rows.append({'net': net, **row, 'versions': versions, 'date': time.strftime('%Y-%m-%d')})
            path = timing.write('export', rows)
    print(f'written to {path}')


if __name__ == '__main__':
    main()
