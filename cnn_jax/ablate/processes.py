"""Several processes share the cells of a grid: each takes those that are neither finished nor in another's hands."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.errors import CnnJaxError
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.progress import Task

WORKER = 'CNN_JAX_ABLATE_WORKER'  # set in the processes that `share` starts, to the cores that each may use
DONE = re.compile(r'\d+/\d+  ')  # how the line of a run begins
GPUS = Path('/proc/driver/nvidia/gpus')


def is_worker() -> bool:
    """Whether this process is one of several that share a grid."""
    return WORKER in os.environ


def keep_to_cores() -> None:
    """In such a process: stays on its part of the cores. Before JAX makes its threads."""
    cores = os.environ.get(WORKER)
    if cores:
        os.sched_setaffinity(0, {int(core) for core in cores.split(',')})


def share(path: Path, jobs: int, flags: Sequence[str], *, runs: int, stop: StopRequest, log: Log) -> None:
    """Runs the grid in `path` with several processes: a GPU for each where there are any, else a part of the cores.

    What they say is said here: several processes cannot draw on one terminal.

    Args:
        jobs: how many processes.
        flags: that they are given.
        runs: how many are to be done.

    Raises:
        Stopped: a signal came; all of them were told and have saved.
        CnnJaxError: one of them failed; its own line says why.
    """
    command = [sys.executable, '-m', 'cnn_jax.main', '--mode=ablate', f'--workdir={path}', *flags]
    shares = divide(jobs)
    log.say(f'{jobs} processes, each with {shares[0][1]}')
    workers = [_start(command, environment, cores) for environment, _, cores in shares]
    with log.working('runs done', runs) as told:
        readers = [threading.Thread(target=_hand_on, args=(worker, log.say, told)) for worker in workers]
        for reader in readers:
            reader.start()
        try:
            while any(worker.poll() is None for worker in workers):
                stop.poll('')
                time.sleep(0.1)
        except Stopped as stopped:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            for worker in workers:
                worker.wait()
            raise Stopped(stopped.signal_number, 'the runs in hand are saved; the same command goes on') from None
        finally:
            for reader in readers:
                reader.join()
    failed = [worker.returncode for worker in workers if worker.returncode]
    if failed:
        error = CnnJaxError(f'{len(failed)} of {jobs} processes failed, see above; the same command goes on')
        error.exit_code = failed[0] if failed[0] > 0 else 1
        raise error


def _hand_on(worker: subprocess.Popen, say: Callable[[str], None], told: Task) -> None:
    """Says the lines of a process; one that begins with a count is of a run that has ended."""
    assert worker.stdout is not None
    with worker.stdout as lines:
        for line in lines:
            say(line.rstrip())
            if DONE.match(line):
                told.finish()


def divide(jobs: int) -> list[tuple[dict[str, str], str, set[int]]]:
    """For each process: what goes into its environment, the same in words, and the cores that it may use."""
    gpus = _visible_gpus()
    if gpus:
        return [({'CUDA_VISIBLE_DEVICES': gpus[job % len(gpus)]}, 'a GPU', set()) for job in range(jobs)]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
    parts = [set(cores[job % len(cores) :: jobs]) if cores else set() for job in range(jobs)]
    words = f'{len(parts[0])} of {len(cores)} cores' if cores else 'all cores'
    return [({}, words, part) for part in parts]


def _visible_gpus() -> list[str]:
    if os.environ.get('JAX_PLATFORMS', '').startswith('cpu'):
        return []
    listed = os.environ.get('CUDA_VISIBLE_DEVICES')
    if listed is not None:
        return [gpu for gpu in listed.split(',') if gpu]
    return [str(number) for number in range(len(list(GPUS.iterdir())))] if GPUS.is_dir() else []


def _start(command: list[str], environment: dict[str, str], cores: set[int]) -> subprocess.Popen:
    """A process in a group of its own: Ctrl-C goes to this one alone, which tells the others."""
    kept = ','.join(map(str, sorted(cores)))
    given = {**os.environ, **environment, WORKER: kept}
    return subprocess.Popen(
        command, env=given, process_group=0, stdout=subprocess.PIPE, text=True, encoding='utf-8', errors='replace'
    )
