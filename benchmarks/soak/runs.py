"""The run of a soak: its processes, what they said, and whether its end is the right one."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cnn_jax.devices.cluster import LAUNCHER
from cnn_jax.workdir.log import read_metrics

ROOT = Path(__file__).parent.parent.parent
OPTIONS = {'save_every': 50, 'evaluate_every': 200, 'width': 64}
MOST_SECONDS = 600.0


class Ended(NamedTuple):
    """How a process ended: its code and what it said."""

    code: int
    output: str
    errors: str


class Process:
    """A process of a run; what it says, little enough for a pipe, is read at its end."""

    def __init__(self, command: list[str], environment: Mapping[str, str]):
        self.popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, 'PYTHONFAULTHANDLER': '1', **environment},  # of one that hangs, where it is
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the process that trains: where there are several, the child of the one that was started."""
        children = Path(f'/proc/{self.popen.pid}/task/{self.popen.pid}/children')
        found = children.read_text(encoding='utf-8').split() if children.exists() else []
        return int(found[0]) if found and LAUNCHER[0] in self._environment() else self.popen.pid

    def _environment(self) -> str:
        return Path(f'/proc/{self.popen.pid}/environ').read_bytes().decode(errors='replace')

    def send(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.popen.poll() is None:
            os.kill(self.pid, number)

    def close_terminal(self) -> None:
        """Nobody reads any more what it says."""
        for stream in (self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()
        self.popen.stdout = self.popen.stderr = None

    def runs_for(self, seconds: float) -> bool:
        """Waits for the end, and says whether it has not come."""
        try:
            self.popen.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            return True

    def finish(self, seconds: float = MOST_SECONDS) -> Ended:
        """Waits for the end; SystemExit if it takes longer."""
        if self.runs_for(seconds):
            self.send(signal.SIGABRT)  # it says where its threads are
            self.runs_for(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            said = '\n'.join(part or '' for part in self.popen.communicate())
            raise SystemExit(f'process {self.popen.pid} did not end within {seconds:.0f} s; it said:\n{said}')
        output, errors = self.popen.communicate()
        return Ended(self.popen.returncode, output or '', errors or '')


class Run:
    """A work folder in which one or several processes train.

    Args:
        workdir: of the run.
        num_steps: of the run.
        count: of processes.
    """

    def __init__(self, workdir: Path, num_steps: int, count: int = 1):
        self.workdir, self.num_steps, self.count = workdir, num_steps, count
        self._first = 0

    def start(self) -> list[Process]:
        """The processes, from where the run stands."""
        self._first = self.step
        options = {**OPTIONS, 'num_steps': self.num_steps}
        command = [
            *(sys.executable, '-m', 'cnn_jax.main', f'--workdir={self.workdir}', '--nopictures'),
            f'--experiment={ROOT / "tests" / "tiny_experiment.py"}',
            *(f'--config.{name}={value}' for name, value in options.items()),
        ]
        if self.count == 1:
            return [Process(command, {})]
        with socket.socket() as probe:
            probe.bind(('localhost', 0))
            address = f'localhost:{probe.getsockname()[1]}'
        launchers: list[dict[str, str]] = [
            dict(zip(LAUNCHER, (address, str(self.count), str(index)), strict=True)) for index in range(self.count)
        ]
        return [Process([*command, '--distributed'], launcher) for launcher in launchers]

    @property
    def step(self) -> int:
        """The last that was logged."""
        return max((line['step'] for line in read_metrics(self.workdir)), default=0)

    @property
    def has_trained(self) -> bool:
        """Whether a step was logged since the start."""
        return self.step > self._first

    def wait_for_steps(self, processes: list[Process], seconds: float) -> None:
        """Until it trains, or ends, or the time is over."""
        begin, first = time.monotonic(), self.step
        while self.step == first and time.monotonic() - begin < seconds:
            if not processes[0].runs_for(0.1):
                return

    def check_same_end(self, straight: 'Run') -> None:
        """Compares the digests of all leaves in the last checkpoint, and every loss; SystemExit if they differ."""
        metas = [(run.workdir / 'checkpoints').glob('*/meta/data.json') for run in (self, straight)]
        last = [max(found, key=lambda path: int(path.parent.parent.name)) for found in metas]
        leaves = [re.findall(r'"digest": ?"(\w+)"', path.read_text(encoding='utf-8')) for path in last]
        losses = [
            [(line['step'], line['split'], line['loss']) for line in read_metrics(run.workdir)]
            for run in (self, straight)
        ]
        if not leaves[0] or leaves[0] != leaves[1] or losses[0] != losses[1]:
            raise SystemExit(f'{self.workdir} ended otherwise than the straight run')
        left = [path.name for path in (self.workdir / 'checkpoints').iterdir() if not path.name.isdecimal()]
        if left:
            raise SystemExit(f'left behind: {left}')


def check_nothing_runs(process: Process) -> None:
    """SystemExit if a process of its group is left."""
    try:
        os.killpg(process.popen.pid, 0)
    except ProcessLookupError:
        return
    raise SystemExit(f'processes of group {process.popen.pid} are left')
