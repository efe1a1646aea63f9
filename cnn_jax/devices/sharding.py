"""A state split over the devices of one axis: where each array is cut, and a step that works on the pieces.

Fully sharded data parallelism (Zhao et al. 2023, arXiv:2304.11277; ZeRO-3): each device keeps its piece of parameters,
optimizer state and moving average; the pieces are gathered for the forward and backward pass alone, and each device
gets back its piece of the mean gradient. The optimizer then sees whole arrays, of which XLA computes the pieces where
they lie: what it computes over all parameters, a norm for instance, is right.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from cnn_jax.errors import CnnJaxError

SPLIT = ('params', 'opt_state', 'ema')  # fields of a state; the others are whole on every device


def cut(shape: tuple[int, ...], num_devices: int) -> int | None:
    """The dimension that an array is cut along: the largest that the devices divide, the first of equals, or none."""
    fitting = [dimension for dimension, size in enumerate(shape) if size and size % num_devices == 0]
    return max(fitting, key=lambda dimension: (shape[dimension], -dimension), default=None)


def spec(shape: tuple[int, ...], mesh: Mesh) -> P:
    """How an array of this shape lies on the mesh."""
    dimension = cut(shape, mesh.size)
    return P() if dimension is None else P(*[None] * dimension, *mesh.axis_names)


def state_shardings(state: Any, mesh: Mesh) -> Any:
    """The sharding of every array of a `TrainState`, arrays or shapes."""
    whole = jax.tree.map(lambda leaf: NamedSharding(mesh, P()), state)
    parts = {
        name: jax.tree.map(lambda leaf: NamedSharding(mesh, spec(leaf.shape, mesh)), getattr(state, name))
        for name in SPLIT
    }
    return dataclasses.replace(whole, **parts)


def map_step(step: Any, mesh: Mesh) -> Callable:
    """Runs a `steps.train.TrainStep` on a state that lies as `state_shardings` says; the state is donated.

    Raises:
        CnnJaxError: the step cannot be taken apart into gradient and update.
    """
    if not (hasattr(step, 'gradient') and hasattr(step, 'update')):
        raise CnnJaxError(
            '--parallel=sharded: this experiment makes a step of its own, not a steps.TrainStep; use mapped'
        )
    (axis,) = mesh.axis_names

    def run(state: Any, batch: Any) -> tuple[Any, dict[str, jax.Array]]:
        shardings = state_shardings(state, mesh)
        specs = jax.tree.map(lambda sharding: sharding.spec, shardings.params)

        def mean_gradient(pieces: Any, model_state: Any, batch: Any, rng: jax.Array, number: jax.Array) -> Any:
            whole = jax.tree.map(lambda piece, spec: _gather(piece, spec, axis), pieces, specs)
            model_state = jax.tree.map(lambda leaf: lax.pcast(leaf, axis, to='varying'), model_state)
            own = step.gradient(whole, model_state, batch, rng, number)
            slopes = jax.tree.map(lambda slope, spec: _scatter_mean(slope, spec, axis), own.params, specs)
            return slopes, lax.pmean(own._replace(params=None), axis)

        of_pieces = jax.shard_map(
            mean_gradient, mesh=mesh, in_specs=(specs, P(), P(axis), P(), P()), out_specs=(specs, P()), check_vma=True
        )
        slopes, rest = of_pieces(state.params, state.model_state, batch, state.rng, state.step)
        state, metrics = step.update(state, rest._replace(params=slopes))
        return lax.with_sharding_constraint(state, shardings), metrics

    return jax.jit(run, donate_argnums=0)


def _gather(piece: jax.Array, spec: P, axis: str) -> jax.Array:
    """The whole array of one device's piece."""
    if not spec:
        return lax.pcast(piece, axis, to='varying')
    return lax.all_gather(piece, axis, axis=len(spec) - 1, tiled=True)


def _scatter_mean(slope: jax.Array, spec: P, axis: str) -> jax.Array:
    """This device's piece of the mean over the devices of a whole array."""
    if not spec:
        return lax.pmean(slope, axis)
    return lax.psum_scatter(slope, axis, scatter_dimension=len(spec) - 1, tiled=True) / lax.axis_size(axis)
