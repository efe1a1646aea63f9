"""One framework and one model in a process of its own, which benchmarks.models_cpu starts and asks for times.

    python -m benchmarks.model_worker ours resnet18 '{}'

Reads one JSON line on stdin for each turn, {"part": "train", "seconds": 0.5}, and answers with one on stdout.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from benchmarks.model_case import CASES, Case
from cnn_jax.devices import compilation


class Steps(Protocol):
    """What a framework does with a model; nothing waits for a result but `wait`."""

    def train(self) -> Any:
        """One step: forward, backward, update. The loss before the update."""

    def infer(self) -> Any:
        """The answers to the batch, in evaluation: logits, or what is read from the outputs."""

    def outputs(self) -> Any:
        """The outputs of the net in evaluation, which are compared."""

    def epochs(self) -> dict[str, Callable[[], Any]]:
        """Training over a whole data set, by way of reading it; only where the case has an epoch."""
        ...

    def wait(self, result: Any) -> np.ndarray:
        """The result on the host."""
        ...


def make(framework: str, model: str, case: Case) -> Steps:
    """The steps of a framework: 'linen', 'ours', 'torch' or 'torch inductor'."""
    if case.is_task:
        from benchmarks import task_steps

        return task_steps.OurTaskSteps(model, case) if framework == 'ours' else task_steps.TorchTaskSteps(model, case)
    if framework.startswith('torch'):
        from benchmarks import model_torch

        return model_torch.TorchSteps(model, case, compiled=framework == 'torch inductor')
    from benchmarks import model_jax

    if framework == 'ours':
        compilation.give_memory_back()  # as the command line does
        return model_jax.OurSteps(model, case)
    return model_jax.LinenSteps(model, case)


def first_calls(steps: Steps) -> dict[str, Any]:
    """What is compared, and the CPU seconds of the first call of each part: mostly compiling."""
    begin = time.process_time()
    steps.wait(steps.infer())
    inferred = time.process_time()
    logits = steps.wait(steps.outputs())
    trained_from = time.process_time()
    losses = [steps.wait(steps.train()).item()]
    trained = time.process_time()
    losses.append(steps.wait(steps.train()).item())
    return {
        'logits': logits.tolist(),
        'losses': losses,
        'compile_seconds': {'inference': inferred - begin, 'train': trained - trained_from},
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
