"""Files from strangers, made at random: weights, backbones, images, run folders, by every reader, in bounded memory.

python -m benchmarks.fuzz_files --seconds=120            # of each kind
python -m benchmarks.fuzz_files --kind=images --seed=7 --rounds=1

A file is read, or refused by the one kind of error that its reader promises. Another error, more memory than allowed,
or more than some seconds is a finding: its line has the seed that repeats it. Exit code 1 where there is one.
"""

import argparse
import collections
import contextlib
import importlib.util
import logging
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.foreign_files import KINDS

MOST_BYTES = 700 * 2**20  # of memory beside what the process has; 64 million pixels take 450 MB
MOST_SECONDS = 20


@contextlib.contextmanager
def bounded(extra: int = MOST_BYTES) -> Iterator[None]:
    """While the block runs, the process may take so many bytes of memory more than it has."""
    pages = int(Path('/proc/self/statm').read_text(encoding='utf-8').split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_long(number: int, frame: Any) -> None:
    raise TimeoutError(f'more than {MOST_SECONDS} s')


def fuzz(name: str, seed: int) -> collections.Counter[str]:
    """Reads one file of a kind: how often it was 'read' and 'refused'; whatever else is raised is a finding."""
    kind, counts = KINDS[name], collections.Counter[str]()
    before = signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory() as folder:
        try:
            for read in kind.make(Path(folder), np.random.default_rng(seed)):
                signal.alarm(MOST_SECONDS)
                try:
                    read()
                    counts['read'] += 1
                except kind.refusals as error:
                    lines = len(str(error).strip().splitlines())
                    counts['refused' if lines == 1 else f'refused in {lines} lines'] += 1
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
    return counts


def main() -> int:
    """Fuzzes for some time, prints the counts and the findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kind', choices=[*KINDS], action='append')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--rounds', type=int, default=10**9)
    parser.add_argument('--seconds', type=float, default=60)
    given, found = parser.parse_args(), 0
    logging.disable(logging.WARNING)  # what the readers say of bad parts
    with bounded():
        for name in given.kind or KINDS:
            if (needed := KINDS[name].needs) and not importlib.util.find_spec(needed):
                print(f'{name}: left out; to make them: pip install {needed}', flush=True)
                continue
            counts, end = collections.Counter[str](), time.monotonic() + given.seconds
            for seed in range(given.seed, given.seed + given.rounds):
                if time.monotonic() > end:
                    break
                try:
                    counts += fuzz(name, seed) + collections.Counter(files=1)
                except Exception as error:
                    counts['findings'] += 1
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    print(f'{name}, seed {seed}: {type(error).__name__}: {error} ({last.filename}:{last.lineno})')
            print(f'{name}: {", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))}', flush=True)
            found += counts['findings']
    return int(found > 0)


if __name__ == '__main__':
    sys.exit(main())
