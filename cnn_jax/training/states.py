"""The state of an experiment on the devices: its shapes, and its first value."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import Mesh

from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment
from cnn_jax.steps import initialize
from cnn_jax.steps.state import TrainState


def abstract_state(experiment: Experiment, mesh: Mesh, parallel: mapping.Parallel = 'mapped') -> TrainState:
    """Shapes, dtypes and shardings of the state; nothing is computed.

    Raises:
        CnnJaxError: the model does not fit the images.
    """
    with fitting(experiment):
        shapes = experiment.state_shapes()
    shardings = mapping.state_shardings(mesh, shapes, parallel)

    def abstract(leaf: Any, sharding: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(abstract, shapes, shardings)


@contextlib.contextmanager
def fitting(experiment: Experiment) -> Iterator[None]:
    """Around a call of the model: what it says of its options or its input becomes a CnnJaxError."""
    try:
        yield
    except CnnJaxError:
        raise
    except (ValueError, TypeError) as error:
        data = experiment.data
        raise CnnJaxError(
            f'the model does not fit {data.name} images of {data.image_shape}: {_first(error)}'
        ) from error


def initial_state(experiment: Experiment, like: TrainState, *, seed: int) -> TrainState:
    """The state before the first step, in the shardings of `like`."""
    return initialize.compute(experiment.first_state, jax.random.key(seed), shardings=shardings_of(like))


def shardings_of(tree: Any) -> Any:
    """The sharding of every leaf."""
    return jax.tree.map(lambda leaf: leaf.sharding, tree)


def _first(error: Exception) -> str:
    return str(error).strip().partition('\n')[0]
