"""One framework and one net in a process of its own, started by `python -m benchmarks.gpu`.

    python -m benchmarks.gpu.worker '{"framework": "ours", "model": "resnet50", "parts": ["train"], "seconds": 3}'

It imports its framework, prints a line, and touches the device when a line on stdin says so: the next worker imports
while this one measures. Then it prints a line of JSON for each part, as soon as it is done.
"""

import importlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.gpu import cases, timing


def framework_steps(framework: str) -> Any:
    """The module with the steps of a framework.

    Raises:
        ImportError: it is not installed, or cannot be used here.
    """
    name = 'torch_steps' if framework.startswith('torch') else 'jax_steps'
    try:
        return importlib.import_module(f'benchmarks.gpu.{name}')
    except ModuleNotFoundError as error:
        raise ImportError(f'not installed: {error.name}') from error
    except Exception as error:  # torchvision beside another torch than its own: RuntimeError
        raise ImportError(f'not usable: {first_line(error)}') from error


def first_line(error: Exception) -> str:
    return f'{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}'


def run(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measures the parts of a task; a row for each, with `error` in place of figures where one failed.

    task: `framework`: 'ours', 'flax', 'torch eager', 'torch compiled', or 'card' for the ceilings; `model`; `parts`;
    `seconds` to measure each part; `tiny`.
    """
    steps = framework_steps(task['framework'])
    case = (cases.TINY if task['tiny'] else cases.CASES).get(task['model'])
    for part in task['parts']:
        row = {'framework': task['framework'], 'model': task['model'], 'part': part, 'batch': case and case.batch}
        try:
            row |= measure(steps, task, part, case)
        except Exception as error:  # a peer that fails is a row of the table, whatever it raises
            row |= {'error': first_line(error)}
        yield row | steps.device()


def measure(steps: Any, task: dict[str, Any], part: str, case: cases.Case | None) -> dict[str, Any]:
    """The figures of one part: of a net in images per second, of the card in bytes or operations per second."""
    if case is None:
        step, amount = steps.make_ceiling(part, task['tiny'])
        work = {}
    else:
        step, amount = steps.make_step(task['framework'], part, case), case.batch
        work = steps.count(part, case) if task['framework'] == 'ours' else {}
    found = timing.measure(step, steps.wait, task['seconds'])
    return {**found, 'per_second': amount / found['milliseconds'] * 1e3, 'peak_bytes': steps.peak_memory(), **work}


def main() -> None:
    answers = os.fdopen(os.dup(1), 'w', buffering=1)  # what a library prints goes elsewhere
    os.dup2(2, 1)
    task = json.loads(sys.argv[1])
    try:
        framework_steps(task['framework'])
    except ImportError as error:
        print(json.dumps({'error': str(error)}), file=answers)
        return
    print(json.dumps({'ready': True}), file=answers)
    sys.stdin.readline()
    for row in run(task):
        print(json.dumps(row), file=answers)


if __name__ == '__main__':
    main()
