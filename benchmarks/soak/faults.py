"""What a soak does to a run: each fault is a function of a run, its processes and chance."""

import contextlib
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.soak import disk
from benchmarks.soak.runs import Process, Run

START_SECONDS = 120.0  # in which a process trains, on a busy machine
END_SECONDS = 30.0  # in which a process that cannot go on ends
Act = Callable[[Run, list[Process], random.Random], None]
UNHEARD = -signal.SIGTERM  # of a process that has not begun to listen; a shell calls it 143 too
ABORTS = {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS}  # of C++ code that gets no memory


class Fault(NamedTuple):
    """A fault.

    Attributes:
        act: does it, some seconds after the run has begun to train.
        codes: with which a process may end then, beside 0.
        count: the processes of the runs that it is for.
        needs_disk: whether the work folder must lie on a disk that can be filled.
    """

    act: Act
    codes: set[int]
    count: int = 1
    needs_disk: bool = False


def _signal(number: int) -> Act:
    return lambda run, processes, chance: processes[0].send(number)


def _pause(run: Run, processes: list[Process], chance: random.Random) -> None:
    """Stopped for some seconds, then it goes on for some, then it is killed."""
    processes[0].send(signal.SIGSTOP)
    time.sleep(chance.uniform(1, 4))
    processes[0].send(signal.SIGCONT)
    time.sleep(chance.uniform(0, 3))
    processes[0].send(signal.SIGKILL)


def _close_terminal(run: Run, processes: list[Process], chance: random.Random) -> None:
    """Nobody reads; the run goes on, and then hears SIGHUP, as often as a shell and the kernel send it."""
    processes[0].close_terminal()
    before = run.step
    run.wait_for_steps(processes, START_SECONDS)
    if processes[0].runs_for(0) and run.step == before:
        raise SystemExit('no step without a console')
    for _ in range(chance.randrange(1, 4)):
        processes[0].send(signal.SIGHUP)


def _damage(run: Run, processes: list[Process], chance: random.Random) -> None:
    """Killed, and a file of the newest checkpoint cut in half."""
    processes[0].send(signal.SIGKILL)
    processes[0].popen.wait()
    steps = [path for path in (run.workdir / 'checkpoints').glob('*') if path.name.isdecimal()]
    if len(steps) > 1:
        newest = max(steps, key=lambda path: int(path.name))
        file = chance.choice(sorted(path for path in (newest / 'state').rglob('*') if path.is_file()))
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _limit(kind: int, spare: Callable[[int, random.Random], int]) -> Act:
    """A limit that a running process gets; one that can live with it is told to stop."""

    def act(run: Run, processes: list[Process], chance: random.Random) -> None:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            pid = processes[0].pid
            most = resource.prlimit(pid, kind)[1]
            resource.prlimit(pid, kind, (spare(pid, chance), most))
        _end(processes)

    return act


def _address_space(pid: int, chance: random.Random) -> int:
    pages = int(Path(f'/proc/{pid}/statm').read_text(encoding='utf-8').split()[0])
    return pages * resource.getpagesize() + chance.randrange(30 * 2**20)


def _open_files(pid: int, chance: random.Random) -> int:
    return len(list(Path(f'/proc/{pid}/fd').iterdir())) + chance.randrange(5)


def _fill(filler: Callable[[Path], None]) -> Act:
    def act(run: Run, processes: list[Process], chance: random.Random) -> None:
        filler(run.workdir.parent)
        _end(processes)

    return act


def _end(processes: list[Process]) -> None:
    """For a run that a fault should end: it has its time for that, then it is told to stop."""
    if processes[0].runs_for(END_SECONDS):
        processes[0].send(signal.SIGTERM)


def _stop_one(run: Run, processes: list[Process], chance: random.Random) -> None:
    """One of several is stopped until the others have given it up; then it goes on, and ends too.

    Where it had not joined the others, they wait for it long; then they are told to stop.
    """
    victim = chance.randrange(len(processes))
    processes[victim].send(signal.SIGSTOP)
    others = [process for process in processes if process is not processes[victim]]
    waiting = any(process.runs_for(90) for process in others)
    if waiting and run.has_trained:
        raise SystemExit('the others wait for a process that is stopped')
    processes[victim].send(signal.SIGCONT)
    if waiting:
        for process in processes:
            process.send(signal.SIGTERM)


def _signal_one(number: int) -> Act:
    """One gets a signal. Where it had not joined the others, they wait for it long; then they are told to stop."""

    def act(run: Run, processes: list[Process], chance: random.Random) -> None:
        chance.choice(processes).send(number)
        if any(process.runs_for(END_SECONDS) for process in processes) and not run.has_trained:
            for process in processes:
                process.send(signal.SIGTERM)

    return act


FAULTS = {
    'term': Fault(_signal(signal.SIGTERM), {143}),
    'int': Fault(_signal(signal.SIGINT), {130}),
    'hup': Fault(_signal(signal.SIGHUP), {129}),
    'kill': Fault(_signal(signal.SIGKILL), {-9}),
    'pause': Fault(_pause, {-9}),
    'terminal': Fault(_close_terminal, {129}),
    'damage': Fault(_damage, {-9}),
    'memory': Fault(_limit(resource.RLIMIT_AS, _address_space), {5, 143, *ABORTS}),
    'files': Fault(_limit(resource.RLIMIT_NOFILE, _open_files), {5, 143}),
    'size': Fault(_limit(resource.RLIMIT_FSIZE, lambda pid, chance: chance.randrange(60_000)), {5}),
    'disk': Fault(_fill(disk.fill), {5, 143}, needs_disk=True),
    'inodes': Fault(_fill(disk.fill_inodes), {5, 143}, needs_disk=True),
    'one_stopped': Fault(_stop_one, {6, 143, UNHEARD}, count=2),
    'one_killed': Fault(_signal_one(signal.SIGKILL), {6, -9, 137, 143}, count=2),
    'one_told': Fault(_signal_one(signal.SIGTERM), {143, UNHEARD}, count=2),
}
