"""Many targets: an ascent for each of them, as many at once as fit into a budget of memory."""

import dataclasses
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.streams import numbered, stream
from cnn_jax.tracing import program as programs
from cnn_jax.visualize.optimized.ascent import Ascended, Told, Words, ascend, in_words
from cnn_jax.visualize.optimized.natural import Natural
from cnn_jax.visualize.optimized.objectives import LayerName, Objective
from cnn_jax.visualize.optimized.recipe import Recipe
from cnn_jax.visualize.optimized.step import net_of, number_of

BUDGET_BYTES = 2**29  # of the arrays of the net, forwards and backwards; more at once is slower on a CPU
STAGE = 2**20  # between the numbers of a target in two stages, which have other random moves
Objectives = Callable[[np.ndarray], Objective]  # of some targets, by their rows


def ascend_each(
    model: Any,
    variables: Any,
    objective_of: Objectives,
    count: int,
    recipe: Recipe,
    natural: Natural,
    *,
    seed: int = 0,
    numbers: np.ndarray | None = None,
    start: np.ndarray | None = None,
    chunk: int | None = None,
    group: int = 1,
    patience: int | None = None,
    told: Told | None = None,
) -> Ascended:
    """An ascent for each of `count` targets; the picture of a target does not depend on the others.

    objective_of: rows of the targets to their objective. numbers: of the targets, whose keys they choose; None: the
    rows. start: images in 0 .. 1, one for each target. chunk: targets at once; None: what BUDGET_BYTES hold. group:
    so many targets beside each other know of one another. told: hears of the steps of all chunks.

    Raises: as `ascend`.
    """
    numbers = np.arange(count) if numbers is None else numbers
    size = check_chunk(chunk) or affordable(model, variables, objective_of(np.arange(1)).layers, recipe, natural)
    size = max(1, size // group) * group
    size = ceil(count // group / ceil(count / size)) * group  # even parts, so that little is padded
    key, parts = stream(jax.random.key(seed), 'visualize/optimized/target'), []
    for first in range(0, count, size):
        rows = np.minimum(np.arange(first, first + size), count - 1)
        found = ascend(
            model, variables, objective_of(rows), recipe, natural,
            keys=numbered(key, jnp.asarray(numbers[rows], jnp.uint32)), start=None if start is None else start[rows],
            patience=patience, told=told and _of_all(told, first // size, ceil(count / size)),
        )  # fmt: skip
        parts.append(_first(found, count - first))
    return _joined(parts)


def ascend_through(
    model: Any,
    variables: Any,
    stages: Sequence[tuple[Recipe, Objectives]],
    count: int,
    natural: Natural,
    *,
    start: np.ndarray | None = None,
    numbers: np.ndarray | None = None,
    told: Words | None = None,
    what: str = '',
    **options: Any,
) -> Ascended:
    """An ascent for each of `count` targets by one recipe after the other, each from the images of the one before.

    stages: each recipe with its objective. start, numbers: as of `ascend_each`. told: hears of the stages of `what`.
    options: of `ascend_each`.

    Raises: as `ascend`.
    """
    found, parts = start, []
    numbers = np.arange(count) if numbers is None else numbers
    for number, (recipe, objective_of) in enumerate(stages):
        said = f'{what}, stage {number + 1} of {len(stages)}' if len(stages) > 1 else what
        own = {'numbers': numbers + number * STAGE, 'start': found, 'told': in_words(told, said), **options}
        parts.append(ascend_each(model, variables, objective_of, count, recipe, natural, **own))
        found = parts[-1].images
    history = {name: np.concatenate([one.history[name] for one in parts if one.history]) for name in _names(parts)}
    return parts[-1]._replace(
        history=history, notes=[_notes(one) for one in zip(*(p.notes for p in parts), strict=True)]
    )


def _names(parts: list[Ascended]) -> list[str]:
    """What all stages with a step logged."""
    logged = [set(one.history) for one in parts if one.history]
    return sorted(set.intersection(*logged)) if logged else []


def _notes(of_stages: tuple[str, ...]) -> str:
    return '; '.join(dict.fromkeys(note for note in of_stages if note))


def check_chunk(chunk: int | None) -> int | None:
    """A number of targets at once; CnnJaxError for less than 1."""
    if chunk is not None and chunk < 1:
        raise CnnJaxError(f'chunk: {chunk} given; it is at least 1')
    return chunk


def affordable(model: Any, variables: Any, layers: Sequence[LayerName], recipe: Recipe, natural: Natural) -> int:
    """How many images fit into BUDGET_BYTES at once: the arrays of the net up to the layers, twice, for each view."""
    net = net_of(model, variables, natural.blank, layers)
    program = programs.prune(net.program, [number_of(net, one) for one in layers])
    of_images = programs.depends(program, [net.images])
    made = [program.types[number] for one in program.steps for number in one.outputs if number in of_images]
    nbytes = sum(int(np.prod(one.shape)) * one.dtype.itemsize for one in made if hasattr(one, 'shape'))
    return max(1, BUDGET_BYTES // max(1, 2 * nbytes * recipe.views))


def with_steps(recipe: Recipe, steps: int | None) -> Recipe:
    """A recipe with another number of steps, where one is given."""
    if steps is None:
        return recipe
    if steps < 0:
        raise CnnJaxError(f'steps: {steps} given; it is at least 0')
    return dataclasses.replace(recipe, num_steps=steps)


def _of_all(told: Told, part: int, parts: int) -> Told:
    return lambda done, steps, objective: told(part * steps + done, parts * steps, objective)


def _first(found: Ascended, count: int) -> Ascended:
    history = {name: values[:, :count] for name, values in found.history.items()}
    return Ascended(found.images[:count], found.values[:count], history, found.notes[:count])


def _joined(parts: list[Ascended]) -> Ascended:
    """All targets; where some ended early, the numbers of their later steps are NaN."""
    longest = max(len(values) for part in parts for values in [*part.history.values(), ()])
    names = parts[0].history

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, ((0, longest - len(values)), (0, 0)), constant_values=np.nan)

    return Ascended(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.values for part in parts]),
        {name: np.concatenate([padded(part.history[name]) for part in parts], 1) for name in names},
        [note for part in parts for note in part.notes],
    )
