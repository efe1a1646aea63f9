"""What is run, in which order, and for how long at most: the whole stays under nine minutes."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu import worker

ROOT = Path(__file__).parents[2]
TOTAL_SECONDS = 520
# Seconds for a process, from its first use of the device; inference goes first where memory peaks cannot be reset.
BOXES = {'card': 40, 'ours': 110, 'flax': 90, 'torch eager': 45, 'torch compiled': 130}
PARTS = {
    'card': ['copy', 'matmul'],
    'ours': ['inference', 'train'],
    'flax': ['inference', 'train'],
    'torch eager': ['inference', 'train'],
    'torch compiled': ['train', 'inference'],
}
LEAST_SECONDS = 15  # a process with less is not started


def tasks(models: list[str], frameworks: list[str], *, seconds: float, tiny: bool) -> list[dict[str, Any]]:
    """The processes in their order: what the table is about first, what compiles for long last."""
    first, *others = models
    order = [('card', 'card')]
    order += [(framework, first) for framework in ('ours', 'torch eager', 'flax', 'torch compiled')]
    order += [(framework, model) for model in others for framework in ('ours', 'torch eager', 'flax')]
    order += [('torch compiled', model) for model in others]
    return [
        {'framework': framework, 'model': model, 'parts': PARTS[framework], 'seconds': seconds, 'tiny': tiny}
        for framework, model in order
        if framework == 'card' or framework in frameworks
    ]


class Process:
    """A worker; its lines are read in a thread, so that waiting for one can end."""

    def __init__(self, task: dict[str, Any]):
        self.task = task
        command = [sys.executable, '-m', 'benchmarks.gpu.worker', json.dumps(task)]
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def rows(self, box_seconds: float) -> Iterator[dict[str, Any]]:
        """Starts the work and returns its rows; what is not there in time, or not at all, is a row that says so."""
        end = time.monotonic() + box_seconds
        missing, why = list(self.task['parts']), f'not done within {box_seconds:.0f} s'
        try:
            ready = json.loads(self._next(end))
            if 'error' in ready:
                raise ImportError(ready['error'])
            assert self._process.stdin
            print(file=self._process.stdin, flush=True)
            while missing:
                row = json.loads(self._next(end))
                missing.remove(row['part'])
                yield row
        except (EOFError, OSError):
            why = f'the process ended with code {self._process.wait()}; see its lines above'
        except ImportError as error:
            why = str(error)
        except queue.Empty:
            pass
        finally:
            self.close()
        yield from failures({**self.task, 'parts': missing}, why)

    def _next(self, end: float) -> str:
        line = self._lines.get(timeout=max(0.01, end - time.monotonic()))
        if line is None:
            raise EOFError
        return line

    def close(self) -> None:
        """Ends the worker and the compilers that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


def run_in_processes(planned: list[dict[str, Any]], total_seconds: float = TOTAL_SECONDS) -> Iterator[dict[str, Any]]:
    """The rows of all tasks, each as soon as it is there; one task has the device at a time."""
    end = time.monotonic() + total_seconds
    started = [Process(planned[0])]
    try:
        for number, task in enumerate(planned):
            left = end - time.monotonic()
            if left < LEAST_SECONDS:
                yield from failures(task, f'not started: the {total_seconds:.0f} s are used up')
                continue
            started += [Process(following) for following in planned[number + 1 : number + 2]]
            yield from started[number].rows(min(BOXES[task['framework']], left))
    finally:
        for process in started:
            process.close()


def run_here(planned: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same in this process, one task after the other: for trials at tiny sizes."""
    for task in planned:
        try:
            yield from worker.run(task)
        except ImportError as error:
            yield from failures(task, str(error))


def failures(task: dict[str, Any], why: str) -> Iterator[dict[str, Any]]:
    """Rows of the parts of a task that were not measured."""
    for part in task['parts']:
        yield {'framework': task['framework'], 'model': task['model'], 'part': part, 'error': why}
