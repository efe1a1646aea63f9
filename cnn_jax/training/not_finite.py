"""Where a number that is not finite comes from: the images of its batch, and the first layer that shows it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.devices import mapping
from cnn_jax.steps.inputs import training_rngs
from cnn_jax.steps.state import TrainState
from cnn_jax.tracing.record import Called, record
from cnn_jax.training.setup import Setup

IMAGES, LOSS = 'the images after preprocessing', 'the loss'
MOST_NAMED = 8  # images in one line; the rest are counted


class Origin(NamedTuple):
    """Where a batch first leaves the finite numbers.

    Attributes:
        batch: rows of the training split that the batch holds.
        place: the first layer, in the order of their calls, with a value that is not finite; IMAGES before all layers,
            LOSS after them; None if the forward pass is finite.
        images: the rows among `batch` that are not finite there.
    """

    batch: np.ndarray
    place: str | None
    images: np.ndarray

    def __str__(self) -> str:
        where = 'nowhere in a forward pass with the weights before it'
        if self.place in (IMAGES, LOSS):
            where = f'in {self.place}'
        elif self.place is not None:
            where = f'in layer {self.place}'
        if 0 < len(self.images) < len(self.batch):
            where += f', of {_list(self.images)}'
        return f'its batch is {_list(self.batch)}; first not finite {where}'


def find_origin(setup: Setup, state: TrainState, batch: Any) -> Origin:
    """Follows a training batch through the model, one forward pass as the training step has it.

    Args:
        state: before the step that went wrong; it is not donated.
        batch: of that step, on the devices.
    """
    names: list[str] = []

    def forward(state: TrainState, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        finite = _finite_by_place(setup, state, batch)
        names[:] = finite
        return {'index': batch['index'], **finite}

    found = mapping.fetch(mapping.map_eval(forward, setup.mesh)(state, batch))
    index = found['index']
    for name in names:
        if not found[name].all():
            return Origin(index, name, index[~found[name]])
    return Origin(index, None, index[:0])


def first_broken(state: TrainState) -> str | None:
    """The first parameter or statistic that is not finite, by its path; None if all are."""
    leaves = jax.tree_util.tree_leaves_with_path((state.variables, state.ema))
    flags = jax.device_get(_all_finite([leaf for _, leaf in leaves]))
    paths = [path for (path, _), finite in zip(leaves, flags, strict=True) if not finite]
    return jax.tree_util.keystr(paths[0][1:], simple=True, separator='/') if paths else None


@jax.jit
def _all_finite(leaves: list[jax.Array]) -> list[jax.Array]:
    return [jnp.all(jnp.isfinite(leaf)) for leaf in leaves]


def _finite_by_place(setup: Setup, state: TrainState, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """For each place on the way from the images to the loss: which images are finite there, (batch,).

    Inputs, noise and statistics are those of the training step, but it takes the images in one part.
    """
    size = len(batch['index'])
    finite: dict[str, jax.Array] = {}

    def note(name: str, values: Any) -> None:
        for value in jax.tree.leaves(values):
            if jnp.issubdtype(value.dtype, jnp.inexact):
                by_image = value.shape[:1] == (size,)
                flag = jnp.isfinite(value).reshape(size if by_image else 1, -1).all(-1)
                finite[name] = finite.get(name, True) & jnp.broadcast_to(flag, (size,))

    def look(call: Called) -> None:
        if call.path:
            note(call.name, call.outputs)

    inputs, rngs = setup.step.inputs(batch, state.rng), training_rngs(state.rng, state.step)
    note(IMAGES, inputs['image'])
    with record(look):
        outputs, _ = setup.step.forward(state.variables, inputs, rngs)
    note(LOSS, setup.experiment.task.loss(outputs, inputs))
    return finite


def _list(rows: np.ndarray) -> str:
    named = ', '.join(str(row) for row in rows[:MOST_NAMED])
    more = f' and {len(rows) - MOST_NAMED} more' if len(rows) > MOST_NAMED else ''
    return f'image{"s" * (len(rows) > 1)} {named}{more}'
