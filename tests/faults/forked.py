"""Runs that need not import: processes that are forked from one that has.

A run in a process of its own took 2.4 s of CPU time, half of it for imports. So one process imports what a run imports,
and does no more: it has no device and no thread of JAX. For each run it forks, and the child does what `python -m
cnn_jax.main` does: it is a process of its own, with its own session, environment, streams and end. Where that starts a
process to watch, in a run of several, it forks too. Runs behind another command, such as `nohup`, are started as users
start them.

`start` is for the tests; the rest of the file is the process that forks.
"""

import atexit
import functools
import gc
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn

from cnn_jax import main
from cnn_jax.devices import cluster, stop

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NO_LARGE_PAGES = {'CNN_JAX_LARGE_PAGES': '0'}  # for which a run would start itself once more; a fork copies them whole
MOST_BYTES = 1 << 20  # of a command line and an environment


class Forked:
    """What the tests need of `subprocess.Popen`: a run that the other process has forked."""

    def __init__(self, forks: 'Forks', pid: int, streams: list[IO[str]]):
        self._forks, self.pid, self.returncode = forks, pid, None
        self.stdout: IO[str] | None
        self.stderr: IO[str] | None
        self.stdout, self.stderr = streams

    def poll(self) -> int | None:
        """The exit code, -N for signal N; None while it runs."""
        if self.returncode is None:
            self.returncode = self._forks.code(self.pid)
        return self.returncode

    def communicate(self, timeout: float = float('inf')) -> tuple[str, str]:
        """Waits for the end; what it said on stdout and stderr."""
        deadline = time.monotonic() + timeout
        said = ['', '']

        def read(index: int, stream: IO[str]) -> None:
            with stream:
                said[index] = stream.read()

        streams = [(index, stream) for index, stream in enumerate((self.stdout, self.stderr)) if stream is not None]
        readers = [threading.Thread(target=read, args=each, daemon=True) for each in streams]
        for reader in readers:
            reader.start()
        while self.poll() is None or any(reader.is_alive() for reader in readers):
            assert time.monotonic() < deadline, f'process {self.pid} still runs'
            time.sleep(0.005)
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process that has imported, as the tests see it."""

    def __init__(self):
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, **NO_LARGE_PAGES, 'PYTHONPATH': str(ROOT)},
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        self._control.close()
        self._popen.wait()

    def start(self, arguments: list[str], environment: dict[str, str]) -> Forked:
        """Starts a run."""
        assert _of_jax(environment) == _of_jax(os.environ), 'JAX has read its variables when it was imported'
        ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
        pid = self._ask({'arguments': arguments, 'environment': environment}, theirs)
        assert pid is not None
        for file in theirs:
            os.close(file)
        return Forked(self, pid, [open(file, encoding='utf-8') for file in ours])

    def code(self, pid: int) -> int | None:
        """The exit code of a run that has ended; None of one that has not."""
        return self._ask({'pid': pid})

    def _ask(self, what: dict[str, Any], files: tuple[int, ...] = ()) -> int | None:
        socket.send_fds(self._control, [json.dumps(what).encode()], files)
        return json.loads(self._control.recv(MOST_BYTES))


@functools.cache
def forks() -> Forks:
    """One for all tests of this process."""
    return Forks()


def start(arguments: list[str], environment: dict[str, str]) -> Forked:
    """`python -m cnn_jax.main ARGUMENTS` with this environment, in the root of the repository."""
    return forks().start(arguments, environment)


def _of_jax(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that JAX reads when it is imported."""
    return {
        name: value for name, value in environment.items() if name.startswith('JAX_') and name not in cluster.LAUNCHER
    }


def serve(control: socket.socket) -> None:
    """Forks as it is asked to, and tells how those that it has forked have ended, until nobody asks."""
    started: dict[int, subprocess.Popen] = {}
    while True:
        message, files, _, _ = socket.recv_fds(control, MOST_BYTES, 2)
        if not message:
            return
        asked = json.loads(message)
        if files:
            popen = fork(asked['arguments'], asked['environment'], stdout=files[0], stderr=files[1])
            started[popen.pid] = popen
            for file in files:
                os.close(file)
            answer = popen.pid
        else:
            answer = started[asked['pid']].poll()
        control.sendall(json.dumps(answer).encode())


def fork(arguments: list[str], environment: Mapping[str, str], **streams: Any) -> subprocess.Popen:
    """A child of this process that runs the command line: `preexec_fn` does not come back, and nothing is executed."""
    return subprocess.Popen(
        [sys.executable],
        preexec_fn=lambda: run(arguments, environment),  # safe: no other thread of Python is there to hold a lock
        start_new_session=True,
        restore_signals=False,  # as in a Python that has started
        **streams,
    )


def run(arguments: list[str], environment: Mapping[str, str]) -> NoReturn:
    """In the child: what a new process would do from its first line on."""
    os.closerange(3, 256)  # the parent waits until the last of them is closed
    for number in stop.numbers():
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ.clear()
    os.environ.update({**environment, **NO_LARGE_PAGES})
    sys.argv[1:] = arguments
    sys.stdout, sys.stderr = map(stream, (1, 2))
    code = 1
    try:
        if not cluster.is_watched():  # else its watcher has done so
            break_it()
        main.program()
    except SystemExit as ended:  # of the one thread that is left, see `ending.end`
        code = ended.code if isinstance(ended.code, int) else 0
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def stream(file: int) -> IO[str]:
    """Writes to a descriptor at each line; it never closes it: the child of a watcher has the same two."""
    return open(file, 'w', encoding='utf-8', buffering=1, closefd=False)


def break_it() -> None:
    """Breaks what the environment says (see `broken`), and lets a watcher fork as well."""
    spec = importlib.util.spec_from_file_location('broken', HERE / 'broken' / 'sitecustomize.py')
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

    def start_watched(command: list[str], *, env: Mapping[str, str], start_new_session: bool, **streams: Any):
        assert command[:3] == [sys.executable, '-m', 'cnn_jax.main']
        assert start_new_session
        return fork(command[3:], env, **streams)

    setattr(cluster, 'subprocess', SimpleNamespace(Popen=start_watched, PIPE=subprocess.PIPE))  # noqa: B010


if __name__ == '__main__':
    import matplotlib.figure  # noqa: F401

    import cnn_jax.report
    import cnn_jax.training.run  # noqa: F401

    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
