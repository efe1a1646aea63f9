"""A run that is broken at random, over and over, and must end as the one that nothing touched: bit for bit.

    python -m benchmarks.soak --rounds=200                  # so many faults of any kind
    python -m benchmarks.soak --minutes=10                  # for so long
    python -m benchmarks.soak --rounds=20 --faults=kill     # of these kinds

Each round starts the run where it stands, lets it train, and does one fault to it: signals, SIGSTOP, a closed terminal,
kill -9, a damaged checkpoint, limits of memory, open files and the size of a file, a full disk, a disk without inodes,
and, in a run of two processes, one of them stopped, killed or told to stop. A run that came to its end is compared and
begun anew. It prints each round, and at the end how many there were of each fault. A broken promise ends it with the
evidence: another exit code, a traceback, two error lines, a process that is left or does not end.
"""

import argparse
import random
import shutil
import time
from collections import Counter
from pathlib import Path

from benchmarks.soak import disk
from benchmarks.soak.faults import ABORTS, END_SECONDS, FAULTS, START_SECONDS
from benchmarks.soak.runs import Ended, Process, Run, check_nothing_runs

NUM_STEPS = 3000  # of a run: what is left of it after some rounds


class Soak:
    """The runs that are broken and the straight ones, by their number of processes, and what was done so far."""

    def __init__(self, folder: Path, num_steps: int, chance: random.Random):
        self.folder, self.num_steps, self.chance = folder, num_steps, chance
        self.straight: dict[int, Run] = {}
        self.done: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self.ends = 0

    def round(self, name: str) -> None:
        """One fault, on the run that it is for."""
        fault = FAULTS[name]
        if fault.count not in self.straight:
            self._go_straight(fault.count)
        run = Run(self.folder / f'broken_{fault.count}', self.num_steps, fault.count)
        processes = run.start()
        run.wait_for_steps(processes, START_SECONDS * (self.chance.random() > 0.2))  # or in the middle of its start
        if processes[0].runs_for(self.chance.uniform(0, 4)):
            fault.act(run, processes, self.chance)
        ended = self._finish(name, run, processes, fault.codes | {0})
        if all(end.code == 0 for end in ended):
            run.check_same_end(self.straight[fault.count])
            shutil.rmtree(run.workdir)
            self.ends += 1

    def _go_straight(self, count: int) -> None:
        run = Run(self.folder / f'straight_{count}', self.num_steps, count)
        self._finish('nothing', run, run.start(), {0})
        self.straight[count] = run

    def _finish(self, name: str, run: Run, processes: list[Process], codes: set[int]) -> list[Ended]:
        print(f'{name:<12} ', end='', flush=True)  # before the wait, which may be in vain
        seconds = {} if name == 'nothing' else {'seconds': 2 * END_SECONDS}
        ended = [process.finish(**seconds) for process in processes]
        disk.make_room(self.folder)
        last = (ended[0].errors.strip() or ended[0].output.strip()).splitlines()[-1:] or ['']
        print(f'exit {[end.code for end in ended]}  step {run.step:>5}  {last[0][:150]}', flush=True)
        for process, end in zip(processes, ended, strict=True):
            lines = [line for line in end.errors.splitlines() if line.startswith('cnn_jax: error: ')]
            aborted = end.code in ABORTS  # whose pages are the runtime's own
            if end.code not in codes or len(lines) > 1 or ('Traceback' in end.errors and not aborted):
                raise SystemExit(f'{name}: exit code {end.code}\n{end.output}\n{end.errors}')
            check_nothing_runs(process)
        self.done[name] += 1
        self.codes.update(end.code for end in ended)
        return ended


def soak(*, rounds: int | None, minutes: float, faults: str | None, num_steps: int, seed: int) -> None:
    """Rounds until the number or the time is over; SystemExit with the evidence where a promise is broken."""
    names = faults.split(',') if faults else list(FAULTS)
    chance = random.Random(seed)
    with disk.small_disk() as (folder, is_disk):
        if not is_disk:
            names = [name for name in names if not FAULTS[name].needs_disk]
            print('no disk of its own could be made (that needs root): none is filled')
        state, begin, number = Soak(folder, num_steps, chance), time.monotonic(), 0
        while number < rounds if rounds is not None else time.monotonic() - begin < 60 * minutes:
            state.round(names[number] if number < len(names) else chance.choice(names))
            number += 1
        for count, straight in state.straight.items():  # what is not at its end goes there
            run = Run(folder / f'broken_{count}', num_steps, count)
            state._finish('nothing', run, run.start(), {0})
            run.check_same_end(straight)
            state.ends += 1
    of_each = ', '.join(f'{count} {name}' for name, count in sorted(state.done.items()))
    codes = ', '.join(f'{count} times {code}' for code, count in sorted(state.codes.items()))
    print(f'{number} rounds ({of_each}); exit codes {codes}')
    print(f'{state.ends} runs came to their end: parameters and log equal those of the run that nothing touched')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--rounds', type=int, help='so many faults; default: by --minutes')
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--faults', help=f'some of {",".join(FAULTS)}')
    parser.add_argument('--num_steps', type=int, default=NUM_STEPS)
    parser.add_argument('--seed', type=int, default=0)
    soak(**vars(parser.parse_args()))
