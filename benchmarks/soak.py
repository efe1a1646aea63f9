"""A run that is broken at random until it ends, and must end as the one that nothing touched: parameters bit for bit.

    python -m benchmarks.soak --minutes=10     # any fault
    python -m benchmarks.soak --kills=20       # kill -9 alone, twenty times

Faults: SIGTERM, SIGINT, kill -9, a process stopped for a while, the newest checkpoint damaged, a full disk. It prints
each with what the run did then, and at the end the goodput: training steps that counted over all that were done.
"""

import argparse
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cnn_jax.workdir.log import read_metrics

ROOT = Path(__file__).parent.parent
STEPS_PER_MINUTE = 3000  # of a run with faults, about
STEPS_PER_KILL = 900  # more than a process gets through before it is killed
START_SECONDS = 4.0  # before which a fault hits imports alone, mostly
FAULTS = ('term', 'int', 'kill', 'pause', 'damage', 'full')
GOOD_ENDS = {'term': {143, 0}, 'int': {130, 0}, 'kill': {-9, 0}, 'damage': {-9, 0}, 'pause': {-9, 0}, 'full': {5, 0}}


class Soak:
    """A work folder, the processes that train in it, and what became of them.

    Args:
        workdir: of the run.
        num_steps: of the run.
    """

    def __init__(self, workdir: Path, num_steps: int):
        self.workdir, self.num_steps = workdir, num_steps
        self.counts: Counter[str] = Counter()
        self.steps_done = 0

    def start(self, *, full: bool = False) -> subprocess.Popen:
        """The run, from where it stands; with `full` no file of it may grow beyond 60 kB."""
        options = {'num_steps': self.num_steps, 'save_every': 50, 'evaluate_every': 200, 'width': 64}
        return subprocess.Popen(
            [
                *(sys.executable, '-m', 'cnn_jax.main', f'--workdir={self.workdir}'),
                f'--experiment={ROOT / "tests" / "tiny_experiment.py"}',
                *(f'--config.{name}={value}' for name, value in options.items()),
            ],
            cwd=ROOT,
            preexec_fn=_fill_disk if full else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def attempt(self, fault: str | None, wait: float) -> bool:
        """Starts the run, lets it train for some seconds, breaks it; whether it came to its end."""
        process = self.start(full=fault == 'full')
        if fault and fault != 'full':
            self._disturb(process, fault, wait)
        output, errors = process.communicate(timeout=600)
        reached = _last_step(self.workdir)
        resumed = re.search(r'resuming at step (\d+)', output)
        self.steps_done += max(0, reached - (int(resumed[1]) if resumed else 0))
        code = process.returncode
        print(f'{fault or "nothing":<8} exit {code:>4}  step {reached:>6}  {_last_line(output, errors)}', flush=True)
        if code not in (GOOD_ENDS[fault] if fault else {0}):
            raise SystemExit(f'{fault}: exit code {code}\n{output}\n{errors}')
        if 'Traceback' in errors:
            raise SystemExit(f'{fault}: a traceback\n{errors}')
        _check_nothing_runs(process.pid)
        self.counts[fault or 'nothing'] += 1
        return code == 0

    def _disturb(self, process: subprocess.Popen, fault: str, wait: float) -> None:
        try:
            process.wait(wait)
            return  # it came to its end before
        except subprocess.TimeoutExpired:
            pass
        if fault == 'pause':
            process.send_signal(signal.SIGSTOP)
            time.sleep(2)
            process.send_signal(signal.SIGCONT)
            time.sleep(1)
        number = {'term': signal.SIGTERM, 'int': signal.SIGINT}.get(fault, signal.SIGKILL)
        process.send_signal(number)
        if fault == 'damage':
            process.wait()
            _damage_newest(self.workdir)


def soak(*, minutes: float, kills: int | None, seed: int) -> None:
    """Runs until the steps are done; SystemExit with the evidence where a promise is broken."""
    chance = random.Random(seed)
    num_steps = max(500, round(minutes * STEPS_PER_MINUTE)) if kills is None else kills * STEPS_PER_KILL
    with tempfile.TemporaryDirectory() as folder:
        straight, broken = (Soak(Path(folder) / name, num_steps) for name in ('straight', 'broken'))
        assert straight.attempt(None, 0)
        begin, ended, number = time.monotonic(), False, 0
        while not ended:
            some = ['kill'] * (kills > number) if kills is not None else list(FAULTS)
            late = kills is None and time.monotonic() - begin > 60 * minutes
            fault = chance.choice(some) if some and not late else None
            ended = broken.attempt(fault, START_SECONDS * chance.uniform(0.5, 3))
            number += 1
            if ended and kills is not None and number < kills:
                raise SystemExit(f'the run ended after {number} of {kills} kills; it is too short')
        _compare(straight.workdir, broken.workdir)
        left = [path.name for path in (broken.workdir / 'checkpoints').iterdir() if not path.name.isdecimal()]
        if left:
            raise SystemExit(f'left behind: {left}')
        faults = ', '.join(f'{count} {name}' for name, count in sorted(broken.counts.items()))
        print(f'{number} attempts ({faults}): parameters and log equal those of the run that nothing touched')
        print(f'goodput {num_steps / max(broken.steps_done, num_steps):.1%} of the steps that were trained')


def _compare(one: Path, other: Path) -> None:
    """The digests of all leaves in the last checkpoint, and every loss."""
    metas = [(path / 'checkpoints').glob('*/meta/data.json') for path in (one, other)]
    last = [max(found, key=lambda path: int(path.parent.parent.name)) for found in metas]
    leaves = [path.read_text().partition('"leaves"')[2].partition('"note"')[0] for path in last]
    losses = [[(line['step'], line['split'], line['loss']) for line in read_metrics(path)] for path in (one, other)]
    if leaves[0] != leaves[1] or losses[0] != losses[1]:
        raise SystemExit('the broken run ended otherwise than the straight one')


def _damage_newest(workdir: Path) -> None:
    steps = [path for path in (workdir / 'checkpoints').glob('*') if path.name.isdecimal()]
    if len(steps) > 1:
        newest = max(steps, key=lambda path: int(path.name))
        file = random.choice([path for path in (newest / 'state').rglob('*') if path.is_file()])
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _fill_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))


def _check_nothing_runs(group: int) -> None:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return
    raise SystemExit(f'processes of group {group} are left')


def _last_step(workdir: Path) -> int:
    return max((line['step'] for line in read_metrics(workdir)), default=0)


def _last_line(output: str, errors: str) -> str:
    lines = errors.strip().splitlines() or output.strip().splitlines() or ['']
    return lines[-1][: shutil.get_terminal_size((160, 24)).columns - 30]


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--kills', type=int, help='kill -9 so often, and nothing else')
    parser.add_argument('--seed', type=int, default=0)
    soak(**vars(parser.parse_args()))
