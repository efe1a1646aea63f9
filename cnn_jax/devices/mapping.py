"""Devices: the mesh, the mapping of a step over it, and the way of arrays onto it. No other file names a device.

A step is written as `jax.pmap` wants it: pure, one device's view of the batch, collectives over the named axis 'data'.
`map_step` runs it on every device of the mesh. The state goes in and comes out as global arrays, so that a checkpoint
does not know how many devices there were.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from cnn_jax.devices import sharding
from cnn_jax.errors import CnnJaxError

AXIS = 'data'
Parallel = Literal['mapped', 'pmap', 'sharded']


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh with one axis, 'data', over every device of every process, or over the first `num_devices`."""
    devices = jax.devices()[:num_devices]
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device holds whole."""
    return NamedSharding(mesh, P())


def state_shardings(mesh: Mesh, state: Any, parallel: Parallel = 'mapped') -> Any:
    """The sharding of every leaf of a `TrainState` (arrays or shapes), as `map_step` takes it."""
    if parallel == 'sharded':
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


def map_step(step: Callable, mesh: Mesh, *, parallel: Parallel = 'mapped', donate: bool = True) -> Callable:
    """Runs `step(state, batch) -> (state, metrics)` on every device of the mesh; the state is donated.

    Args:
        step: one device's view; what it returns must be equal on all devices (`pmean` it).
        mesh: from `make_mesh`.
        parallel: 'mapped' is `jax.shard_map`; 'pmap' is `jax.pmap`, for one process, as a second opinion;
            'sharded' keeps a part of the parameters and the optimizer's state on each device (see `sharding.map_step`).
        donate: False keeps the state that goes in, where it is 'mapped'.
    """
    if parallel == 'pmap':
        return _pmap_step(step, mesh)
    if parallel == 'sharded':
        return sharding.map_step(step, mesh)
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=(P(), P()), check_vma=True)
    return jax.jit(mapped, donate_argnums=0 if donate else ())


def map_eval(step: Callable, mesh: Mesh, *, parallel: Parallel = 'mapped') -> Callable:
    """Runs `step(variables, batch) -> per-image results` on every device; the results stay split like the batch."""
    if parallel == 'pmap':
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
