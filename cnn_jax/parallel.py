"""Devices: the mesh, the mapping of a step over it, and the way of arrays onto it. No other file names a device.

A step is written as `jax.pmap` wants it: pure, one device's view of the batch, collectives over the named axis 'data'.
`map_step` runs it on every device of the mesh. The state goes in and comes out as global arrays, so that a checkpoint
does not know how many devices there were.
"""

import os
import zlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from cnn_jax import cluster, sharding
from cnn_jax.errors import CnnJaxError, PeerError

AXIS = 'data'
HEARTBEAT_SECONDS = 30  # a process that is silent for so long is lost
Mode = Literal['mapped', 'pmap', 'sharded']


def start(requested: bool, *, timeout_seconds: int = 300) -> bool:
    """Joins the other processes of the run, if there are any: in a cluster that JAX knows, or as the launcher says.

    Must come before JAX is asked for a device. A launcher of one's own sets JAX_COORDINATOR_ADDRESS (host:port of
    process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID, and passes --distributed.

    Args:
        requested: whether --distributed was given; without it only a cluster of several processes is joined.
        timeout_seconds: how long to wait for the others to come.

    Returns:
        Whether there are others.

    Raises:
        PeerError: the others did not come in time, or it is not known how to reach them.
    """
    if not (requested or cluster.in_cluster(os.environ)):
        return False
    address, count, index = (os.environ.get(name) for name in cluster.LAUNCHER)
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
    return True


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh with one axis, 'data', over every device of every process, or over the first `num_devices`."""
    devices = jax.devices()[:num_devices]
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


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
    if not multihost_utils.broadcast_one_to_all(np.int32(error is None)):
        raise error or PeerError('process 0 gave up; its own line says why')
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


def reached_common_stop(step: int) -> bool:
    """Whether a process was told to stop and this is the step at which all of them save; to be asked at every step."""
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(step)


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
        text += "; for a GPU: pip install 'jax[cuda13]'"
    return text


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device holds whole."""
    return NamedSharding(mesh, P())


def state_shardings(mesh: Mesh, state: Any, mode: Mode = 'mapped') -> Any:
    """The sharding of every leaf of a `TrainState` (arrays or shapes), as `map_step` takes it in this mode."""
    if mode == 'sharded':
        return sharding.state_shardings(state, mesh)
    return jax.tree.map(lambda leaf: replicated(mesh), state)


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Puts host arrays, the same in every process, whole onto every device."""
    whole = replicated(mesh)

    def put(array):
        return jax.make_array_from_callback(array.shape, whole, lambda index: array[index])

    with jax.transfer_guard_host_to_device('allow'):  # this is the explicit way
        return jax.tree.map(lambda leaf: put(np.asarray(leaf)), tree)


def put_batch(mesh: Mesh, batch: Any) -> Any:
    """Puts this process's rows of a global batch onto its devices, split along the first axis."""
    split = NamedSharding(mesh, P(AXIS))
    with jax.transfer_guard_host_to_device('allow'):
        return jax.tree.map(lambda rows: jax.make_array_from_process_local_data(split, rows), batch)


def process_rows(rows: np.ndarray) -> np.ndarray:
    """The part of a global batch's rows that belongs to this process: the i-th of n equal runs."""
    size = len(rows) // jax.process_count()
    return rows[jax.process_index() * size :][:size]


def fetch(tree: Any) -> Any:
    """Arrays of any sharding as whole numpy arrays on this host."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)


def make_gather(mesh: Mesh) -> Callable[[Any, Any], Any]:
    """A function (arrays, rows) -> rows of the arrays: `arrays` whole on every device, `rows` and the result split."""

    def gather(arrays, rows):
        return jax.tree.map(lambda array: array[rows], arrays)

    return jax.jit(jax.shard_map(gather, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=P(AXIS)))


def vary(tree: Any) -> Any:
    """Marks replicated values as belonging to one device each.

    Without it a gradient taken with respect to them comes back already summed over the devices (under
    `check_vma=True`), and a following `pmean` makes it n times too large, without an error.
    """
    return jax.tree.map(lambda leaf: jax.lax.pcast(leaf, AXIS, to='varying'), tree)


def is_mapped() -> bool:
    """Whether what is traced runs under the named axis; a bare `model.apply` is one device."""
    try:
        jax.lax.axis_size(AXIS)
    except NameError:
        return False
    return True


def check_divides(batch_size: int, mesh: Mesh) -> None:
    """Raises CnnJaxError unless every device gets the same number of images of a training batch."""
    devices = mesh.size
    if batch_size % devices:
        below, above = batch_size // devices * devices, -(-batch_size // devices) * devices
        near = ' or '.join(str(size) for size in (below, above) if size)
        raise CnnJaxError(f'batch_size: {batch_size} images do not divide over {devices} devices; use {near}')


def map_step(step: Callable, mesh: Mesh, *, mode: Mode = 'mapped', donate: bool = True) -> Callable:
    """Runs `step(state, batch) -> (state, metrics)` on every device of the mesh; the state is donated.

    Args:
        step: one device's view; what it returns must be equal on all devices (`pmean` it).
        mesh: from `make_mesh`.
        mode: 'mapped' is `jax.shard_map`; 'pmap' is `jax.pmap`, for one process, as a second opinion; 'sharded' keeps
            a part of the parameters and the optimizer's state on each device (see `sharding.map_step`).
        donate: False keeps the state that goes in, in mode 'mapped'.
    """
    if mode == 'pmap':
        return _pmap_step(step, mesh)
    if mode == 'sharded':
        return sharding.map_step(step, mesh)
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=(P(), P()), check_vma=True)
    return jax.jit(mapped, donate_argnums=0 if donate else ())


def map_eval(step: Callable, mesh: Mesh, *, mode: Mode = 'mapped') -> Callable:
    """Runs `step(variables, batch) -> per-image results` on every device; the results stay split like the batch."""
    if mode == 'pmap':
        return _pmap_eval(step, mesh)
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=P(AXIS), check_vma=True)
    return jax.jit(mapped)


def _pmap_step(step: Callable, mesh: Mesh) -> Callable:
    split = _splitter(mesh)
    devices = list(mesh.devices.flat)
    mapped = jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=(None, None), donate_argnums=0, devices=devices)
    return lambda state, batch: mapped(state, split(batch))


def _pmap_eval(step: Callable, mesh: Mesh) -> Callable:
    split = _splitter(mesh)
    mapped = jax.pmap(step, AXIS, in_axes=(None, 0), devices=list(mesh.devices.flat))
    join = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree))
    return lambda variables, batch: join(mapped(variables, split(batch)))


def _splitter(mesh: Mesh) -> Callable:
    """A function that gives every array of a batch the leading axis that `jax.pmap` maps over."""
    if jax.process_count() > 1:
        raise CnnJaxError('--parallel=pmap works in one process; with several, use --parallel=mapped')

    def split(rows):
        return rows.reshape(mesh.size, -1, *rows.shape[1:])  # (batch, ...) -> (devices, batch / devices, ...)

    return jax.jit(lambda batch: jax.tree.map(split, batch), out_shardings=NamedSharding(mesh, P(AXIS)))
