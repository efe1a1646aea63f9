"""The processes of one run: how they are found, and a parent that says in words what became of its process.

When a process of a run is lost, the JAX runtime of the others aborts with pages of C++ addresses. So with several
processes each one runs as the child of a parent that imports nothing heavy: it hands signals on, keeps the pages back,
and ends with one line and the exit code 6.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping

from cnn_jax.devices import stop

LAUNCHER = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
PEER_LOST = 6
CRASHES = {signal.SIGSEGV, getattr(signal, 'SIGBUS', signal.SIGSEGV)}  # of the runtime, when a connection ends
WATCHED = 'CNN_JAX_WATCHED'  # set in the child
DUMP = re.compile(r'^(\*\*\*|F\d{4}|E\d{4}|\s+@ )|JAX distributed service detected fatal errors')
NOISE = re.compile(r'^W\d{4}.*preemption_notifier')
SILENT = re.compile(r'tasks are unhealthy[^\n]*:\n((?:\d+\n)+)')
LOST = re.compile(r' was lost: ')  # in a line of the process itself, which saw a connection end
OTHER = re.compile(r'task:(\d+)[^.]*(?:unhealthy|heartbeat|disconnected|shut ?down|crashed)', re.IGNORECASE)
COORDINATOR = re.compile(r'UNAVAILABLE|DEADLINE_EXCEEDED|[Ss]ocket closed|[Cc]onnection reset')
PR_SET_PDEATHSIG = 1  # Linux: the signal that a child gets when its parent dies


def in_cluster(environment: Mapping[str, str]) -> bool:
    """Whether this is one of several processes that Slurm, Open MPI, a TPU pod or a Kubernetes JobSet has started."""

    def count(name: str) -> int:
        text = environment.get(name, '1')
        return int(text) if text.isdecimal() else 1

    slurm = count('SLURM_NTASKS') > 1 and 'SLURM_STEP_ID' in environment  # in a step, not in the batch script
    pod = ',' in environment.get('TPU_WORKER_HOSTNAMES', '')
    jobset = 'JOB_COMPLETION_INDEX' in environment and 'JOBSET_NAME' in environment
    return slurm or count('OMPI_COMM_WORLD_SIZE') > 1 or pod or jobset


def is_watched() -> bool:
    """Whether this process has such a parent."""
    return WATCHED in os.environ


def watch(arguments: list[str]) -> int:
    """Runs the same command line in a child until it ends; the exit code, 6 if the runtime aborted for a lost peer."""
    command = [sys.executable, '-m', 'cnn_jax.main', *arguments]
    environment = {**os.environ, WATCHED: '1'}
    child = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, errors='replace', start_new_session=True
    )
    for number in stop.numbers():
        signal.signal(number, lambda number, frame: child.send_signal(number))
    stops = _remember_stops(child.pid)
    assert child.stderr is not None
    with child.stderr:
        said, dump = _pass_on(child.stderr)
    code = child.wait()
    if code == -signal.SIGABRT or (code == PEER_LOST and dump):
        if not said:
            print(describe_abort(dump, stopped=bool(stops)), file=sys.stderr)
        return PEER_LOST
    if code < 0 and not said and -code not in stop.numbers():
        name = signal.Signals(-code).name
        what = f'{_name_self()} was ended by {name}; the lines above, or those of the kernel (dmesg), may say why'
        if -code in CRASHES:
            what += '; where another process was lost, the runtime may end so'
        print(f'cnn_jax: error: {what}; start all processes again with the same command', file=sys.stderr)
    if -code in CRASHES:
        return PEER_LOST
    return code if code >= 0 else 128 - code


def _remember_stops(pid: int) -> list[int]:
    """The signals that have stopped a child, as they come; the others may have given it up meanwhile."""
    stops: list[int] = []

    def look(number: int, frame: object) -> None:
        with contextlib.suppress(ChildProcessError):
            found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)
            stops.extend([found.si_status] if found else [])

    if hasattr(signal, 'SIGCHLD'):  # Windows has none
        signal.signal(signal.SIGCHLD, look)
    return stops


def _name_self() -> str:
    me, count = (os.environ.get(name, '?') for name in ('JAX_PROCESS_ID', 'JAX_NUM_PROCESSES'))
    return f'process {me} of {count}'


def _pass_on(lines) -> tuple[bool, str]:
    """Copies stderr line by line but for the runtime's dump; whether the child told of an error, and the dump."""
    said, dump = False, []
    for line in lines:
        ours = line.startswith('cnn_jax: ') and not (dump and LOST.search(line))  # of which the runtime knows more
        if not ours and (dump or DUMP.search(line)):
            dump.append(line)
        else:
            said = said or ours
            if not NOISE.search(line):
                print(line, end='', file=sys.stderr, flush=True)
    return said, ''.join(dump)


def describe_abort(dump: str, *, stopped: bool = False) -> str:
    """The one line about a lost peer; it names the process where the runtime does.

    stopped: whether this process itself was stopped by a signal.
    """
    silent = SILENT.search(dump)
    who = silent[1].split() if silent else OTHER.findall(dump)[:1]
    count = os.environ.get('JAX_NUM_PROCESSES', '')
    if stopped or os.environ.get('JAX_PROCESS_ID') in who or (len(who) > 1 and str(len(who) + 1) == count):
        what = 'it did not run for a while (stopped, or on a machine that slept), and the others went on without it'
    elif who:
        what = f'process {" and ".join(who)} of the run was lost, or is stopped'
    elif _name_self() == 'process 1 of 2' or COORDINATOR.search(dump):
        what = 'process 0, which the others report to, was lost, or is stopped'
    else:
        what = 'another process of the run was lost'
    return (
        f'cnn_jax: error: {_name_self()} ended: {what}; '
        'start all processes again with the same command to go on from the last checkpoint'
    )


def end_with_parent() -> None:
    """Asks the kernel (Linux) to kill this process when its parent dies."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
