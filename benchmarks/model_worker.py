"""One framework and one model in a process of its own, which benchmarks.models_cpu starts and asks for times.

    python -m benchmarks.model_worker ours resnet18 '{}'

Reads one JSON line on stdin for each turn, {"part": "train", "seconds": 0.5}, and answers with one on stdout.
"""

import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
PAPER, INK = -0.42, 2.82  # pixels 0 and 255 of MNIST, standardised


@dataclass(frozen=True)
class Case:
    """A model and what it is given; `epoch` is the number of images of an epoch with data, 0 for none."""

    size: int
    channels: int
    batch: int
    classes: int
    epoch: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.size, self.size, self.channels


CASES = {
    'lenet5': Case(28, 1, 128, 10, epoch=60_000),
    'resnet18': Case(64, 3, 32, 1000),
    'vgg11': Case(64, 3, 16, 1000),
    'resnet50': Case(224, 3, 8, 1000),
}
QUICK = {'batch': 4, 'epoch': 512}


class Steps(Protocol):
    """What a framework does with a model; nothing waits for a result but `wait`."""

    def train(self) -> Any:
        """One step: forward, backward, update. The loss before the update."""

    def infer(self) -> Any:
        """The logits of the batch, in evaluation."""

    def epochs(self) -> dict[str, Callable[[], Any]]:
        """Training over a whole data set, by way of reading it; only where the case has an epoch."""
        ...

    def wait(self, result: Any) -> np.ndarray:
        """The result on the host."""
        ...


def value(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The starting value of a variable, the same in every framework: a function of 'conv1/kernel' and the shape."""
    rng, leaf = np.random.default_rng(zlib.crc32(path.encode())), path.split('/')[-1]
    if leaf == 'var':
        return rng.uniform(1, 3, shape).astype(np.float32)
    deviation = (2 / np.prod(shape[:-1])) ** 0.5 if leaf == 'kernel' else 0.1
    return rng.normal(leaf == 'scale', deviation, shape).astype(np.float32)


def batch(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images, float32 NHWC, and labels, int32."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(case.shape, np.float32), rng.integers(0, case.classes, case.batch, np.int32)


def data_set(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images of an epoch, uint8 (rows, height, width, channels), and labels, int32."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (case.epoch, *case.shape[1:]), np.uint8)
    return images, rng.integers(0, case.classes, case.epoch, np.int32)


def make(framework: str, model: str, case: Case) -> Steps:
    """The steps of a framework: 'linen', 'ours' or 'torch'."""
    if framework == 'torch':
        from benchmarks import model_torch

        return model_torch.TorchSteps(model, case)
    from benchmarks import model_jax

    return model_jax.OurSteps(model, case) if framework == 'ours' else model_jax.LinenSteps(model, case)


def first_calls(steps: Steps) -> dict[str, Any]:
    """What is compared, and the CPU seconds of the first call of each part: mostly compiling."""
    begin = time.process_time()
    logits = steps.wait(steps.infer())
    inferred = time.process_time()
    losses = [float(steps.wait(steps.train()))]
    trained = time.process_time()
    losses.append(float(steps.wait(steps.train())))
    return {
        'logits': logits.tolist(),
        'losses': losses,
        'compile_seconds': {'inference': inferred - begin, 'train': trained - inferred},
    }


def timed(action: Callable[[], Any], wait: Callable[[Any], Any], seconds: float) -> float:
    """CPU seconds of one call, from as many as take `seconds` or so, after one that is not timed.

    The other frameworks have had the caches, and the system the memory that was free.
    """
    wait(action())
    begin, calls, batch_of_calls = time.process_time(), 0, 1
    while True:
        for _ in range(batch_of_calls):
            result = action()
        wait(result)
        calls += batch_of_calls
        taken = time.process_time() - begin
        if taken >= 0.8 * seconds:
            return taken / calls
        batch_of_calls = max(1, round((seconds - taken) / taken * calls))


def main() -> None:
    framework, model, changes = sys.argv[1:]
    answers = os.fdopen(os.dup(1), 'w', buffering=1)  # what a library prints goes elsewhere
    os.dup2(2, 1)
    case = replace(CASES[model], **json.loads(changes))
    steps = make(framework, model, case)
    print(json.dumps(first_calls(steps)), file=answers)
    parts = {'train': steps.train, 'inference': steps.infer}
    if case.epoch:
        epochs = steps.epochs()
        for action in epochs.values():
            steps.wait(action())  # compiles
        parts |= epochs
    print(json.dumps(list(parts)), file=answers)
    for line in sys.stdin:
        turn = json.loads(line)
        print(json.dumps(timed(parts[turn['part']], steps.wait, turn['seconds'])), file=answers)


if __name__ == '__main__':
    main()
