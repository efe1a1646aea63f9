"""The processes of a run: how they join, agree, and are named; the first of them writes and talks."""

import errno
import os
import re
import socket
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cnn_jax.devices import cluster, large_pages
from cnn_jax.errors import CnnJaxError, PeerError

HEARTBEAT_SECONDS = 30  # a process that is silent for so long is lost
LOST = re.compile('Gloo|NCCL|UNAVAILABLE|DEADLINE|oordination')  # the runtime's words, which have no type of error


def are_several(requested: bool) -> bool:
    """Whether this is one of several processes: --distributed was given, or a cluster has started them."""
    return requested or cluster.in_cluster(os.environ)


def join(*, timeout_seconds: int = 300) -> None:
    """Joins the other processes of the run: in a cluster that JAX knows, or as the launcher says.

    Must come before JAX is asked for a device. A launcher of one's own sets JAX_COORDINATOR_ADDRESS (host:port of
    process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID, and passes --distributed.

    timeout_seconds: how long to wait for the others to come.

    Raises:
        PeerError: the others did not come in time, or it is not known how to reach them.
    """
    address, count, index = (os.environ.get(name) for name in cluster.LAUNCHER)
    if address and index == '0':
        _check_port(os.environ.get('JAX_COORDINATOR_BIND_ADDRESS') or f':{address.rpartition(":")[2]}')
    try:
        jax.distributed.initialize(
            address,
            int(count) if count else None,
            int(index) if index else None,
            initialization_timeout=timeout_seconds,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise PeerError(
            f'process {index or "?"} of {count or "?"} could not join the others within {timeout_seconds} s: '
            f'{str(error).strip().splitlines()[0][:200]}; check that all of them started, and '
            f'{", ".join(cluster.LAUNCHER)}'
        ) from error


def _check_port(address: str) -> None:
    """Raises PeerError where another program listens: the runtime would die of it, or share the port with it."""
    host, _, port = address.rpartition(':')
    if not (port.isdecimal() and int(port) < 2**16):
        return  # the runtime says what is wrong with it
    with socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose program has just ended is free
        try:
            probe.bind((host.strip('[]'), int(port)))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PeerError(
                    f'port {port} is in use on this machine, and the processes of the run meet there; end the program '
                    f'that has it, or give all of them another one in {cluster.LAUNCHER[0]}'
                ) from error


def is_main_process() -> bool:
    """Whether this process writes the files and talks to the person; exactly one does."""
    return jax.process_index() == 0


def main_process_first(action: Callable[[], Any]) -> Any:
    """Runs `action` in the main process while the others wait; its result there, None in the others.

    Raises:
        PeerError: in the others, if it failed in the main process, which raises its own error.
    """
    if jax.process_count() == 1:
        return action()
    from jax.experimental import multihost_utils

    result, error = None, None
    if is_main_process():
        try:
            result = action()
        except Exception as raised:
            error = raised
    code = 0 if error is None else getattr(error, 'exit_code', 1)
    code = int(multihost_utils.broadcast_one_to_all(np.int32(code)))
    if code:
        gave_up = PeerError('process 0 gave up; its own line says why')
        gave_up.exit_code = code  # the same of all, whichever the launcher looks at
        raise error or gave_up
    return result


def check_same_everywhere(text: str) -> None:
    """A psum over every device, and a comparison of `text` over all processes: the self-test at the start.

    Raises:
        CnnJaxError: another process was started with another text (its configuration).
    """
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    digests = multihost_utils.process_allgather(np.uint32(zlib.crc32(text.encode())))
    different = [int(index) for index in np.flatnonzero(digests != digests[0])]
    if different:
        raise CnnJaxError(f'processes {different} were started with other options than process 0; start all alike')


def reached_common_stop(asked: int) -> bool:
    """Whether a process was told to stop and this is the step at which all of them save; to be asked at every step.

    asked: how often it was asked, this time too, alike in all processes: the processes agree on the count behind
        the highest of theirs, which is 0 before the first time.
    """
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(asked)


def check_peers(error: BaseException) -> None:
    """Raises `PeerError` if a lost process is behind an error of the runtime.

    A broad `except` around what all processes do together calls it first: the disk must not be blamed.
    """
    if jax.process_count() > 1 and LOST.search(str(error)):
        what = f'{name_peers()} was lost: {error}; start all of them again with the same command'
        raise PeerError(what) from error


def name_peers() -> str:
    """The other processes, for a message: 'process 1', 'one of the processes 0, 2, 3'."""
    others = [str(index) for index in range(jax.process_count()) if index != jax.process_index()]
    return f'process {others[0]}' if len(others) == 1 else f'one of the processes {", ".join(others)}'


def describe_devices() -> str:
    """What JAX found, in words: '8 TPU v4 devices on 2 hosts', '1 CPU device; for a GPU: ...'."""
    devices = jax.devices()
    kind = devices[0].device_kind.upper() if devices[0].platform == 'cpu' else devices[0].device_kind
    text = f'{len(devices)} {kind} device{"s" * (len(devices) > 1)}'
    if jax.process_count() > 1:
        text += f' in {jax.process_count()} processes'
    if devices[0].platform == 'cpu':
        if large_pages.are_in_use(os.environ):
            text += f', memory in large pages ({large_pages.SWITCH}=0: without)'
        text += "; for a GPU: pip install 'jax[cuda13]'"
    return text
