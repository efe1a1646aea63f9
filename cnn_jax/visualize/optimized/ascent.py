"""The ascent: a compiled step for a batch of images, in a Python loop.

A loop inside of the program, `lax.scan`, takes ten times as long on a CPU, which runs its convolutions in one thread.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError, DivergedError
from cnn_jax.tracing import relu, scores
from cnn_jax.tracing.static import Static
from cnn_jax.visualize.optimized import step as steps
from cnn_jax.visualize.optimized.kept import Keeper
from cnn_jax.visualize.optimized.natural import Natural
from cnn_jax.visualize.optimized.objectives import Objective
from cnn_jax.visualize.optimized.recipe import Recipe
from cnn_jax.visualize.optimized.step import Scene, State, Weights

RESCUE_STEPS = 16  # with redirected ReLUs, as Lucid has it
LOOK_EVERY = 10  # steps: then the numbers come to the host
ZERO = 'zero gradient: nothing in the image moves this objective'
RESCUED = f'zero gradient at the start: ReLUs redirected in the first {RESCUE_STEPS} steps'
IN_VAIN = 'zero gradient: nothing that was found moves this objective, nor did redirected ReLUs find anything'


class Ascended(NamedTuple):
    """Optimised images, with what was logged."""

    images: np.ndarray  # (batch, height, width, channels) in 0 .. 1
    values: np.ndarray  # (batch,) the objective of these images as they are
    history: dict[str, np.ndarray]  # (steps, batch): 'objective', 'gradient' (its norm), and the penalties by name
    notes: list[str]  # of each image; '' where there is nothing to say


Told = Callable[[int, int, float], None]
"""Hears of the steps that are done, of how many, and the mean objective."""
Words = Callable[[str], None]
"""Shows a person what is going on."""


def in_words(told: Words | None, what: str) -> Told | None:
    """Tells of an ascent in words; `what` is its name."""
    if told is None:
        return None
    return lambda done, steps, objective: told(f'{what}, step {done}/{steps}, objective {objective:.4g}')


def ascend(
    model: Any,
    variables: Any,
    objective: Objective,
    recipe: Recipe,
    natural: Natural,
    *,
    keys: jax.Array,
    start: Any = None,
    patience: int | None = None,
    told: Told | None = None,
) -> Ascended:
    """Images that the objective likes, one for each of `keys`.

    An image depends on its own key, start and row of the objective alone, and on no other of the batch. Where a folder
    is kept (`kept.keeping`) an ascent goes on where the same one stopped.

    start: images (batch, height, width, channels) in 0 .. 1 to begin with, for `Pixels`; None: as the parameterisation
    begins. patience: ends after so many steps in which no image came to a better objective; None: goes on to the end.

    Raises: CnnJaxError for an unknown layer; DivergedError where an objective is not finite.
    """
    static, scene = Static(model), Scene(variables, natural, objective, keys)
    parameters = steps.begin(recipe, natural, keys) if start is None else natural.centred(jnp.array(start, jnp.float32))
    state = State(parameters, recipe.steps.make(recipe.num_steps).init(parameters), jnp.zeros((), jnp.int32))
    weights, notes = _beginning(static, recipe, scene, state)
    some_rescued = bool(np.any(weights.rescued))
    log = _Log(recipe.num_steps, patience, told)
    keeper = Keeper(lambda: (repr(model), repr(recipe), scene, () if start is None else np.asarray(start)))
    state, is_over = _taken_up(keeper.found(), state, log)
    while log.done < recipe.num_steps and not is_over:
        rule = 'redirected' if some_rescued and log.done < RESCUE_STEPS else None
        state, numbers = _step(static, recipe, scene, state, weights, rule=rule)
        is_over = log.ends_with(numbers)
        if keeper.is_due:
            keeper.keep(_arrays(state, log), np.asarray(_end(static, recipe, scene, state.parameters)[0]))
    images, values = (np.asarray(one) for one in _end(static, recipe, scene, state.parameters))
    if keeper.has_kept:  # another one of the same picture may take long
        keeper.keep(_arrays(state, log), images)
    history = log.history()
    return Ascended(images, values, history, _at_the_end(notes, history))


def _arrays(state: State, log: '_Log') -> dict[str, np.ndarray]:
    """What `_taken_up` needs."""
    leaves = {f'state {place}': np.asarray(leaf) for place, leaf in enumerate(jax.tree.leaves(state))}
    return {**leaves, **{f'log {name}': values for name, values in log.history().items()}}


def _taken_up(arrays: dict[str, np.ndarray], state: State, log: '_Log') -> tuple[State, bool]:
    """The state that was kept, and whether it was the last one; the given state where nothing was."""
    if not arrays:
        return state, False
    leaves, structure = jax.tree.flatten(state)
    kept = [jnp.asarray(arrays[f'state {place}']) for place in range(len(leaves))]
    history = {name.removeprefix('log '): values for name, values in arrays.items() if name.startswith('log ')}
    return jax.tree.unflatten(structure, kept), log.take_up(history)


_step, _end = scores.precisely(steps.step), scores.precisely(steps.end)


def _beginning(static: Static, recipe: Recipe, scene: Scene, state: State) -> tuple[Weights, list[str]]:
    """What counts how much, and a note on each image whose first gradient is zero."""
    count = len(scene.keys)
    alone = Weights(jnp.ones(count), jnp.zeros(()), jnp.zeros(count, bool))

    def size(weights: Weights, rule: relu.Name | None) -> np.ndarray:
        """The norm of the objective's gradient; the state is a copy, since a step gives its own away."""
        return np.asarray(
            _step(static, recipe, scene, jax.tree.map(jnp.copy, state), weights, rule=rule)[1]['gradient']
        )

    sizes = size(alone, None) if recipe.num_steps else np.ones(count)
    blocked, rescued = sizes == 0, np.zeros(count, bool)
    if blocked.any():
        try:
            others = size(alone._replace(rescued=jnp.asarray(blocked)), 'redirected')
        except CnnJaxError:  # there are no ReLUs to redirect, or others than ReLUs
            others = sizes
        rescued = blocked & (others > 0)
        sizes = np.where(rescued, others, sizes)
    notes = [RESCUED if one else ZERO if zero else '' for one, zero in zip(rescued, blocked, strict=True)]
    factor = float(scene.natural.norm) / np.where(sizes > 0, sizes, 1) if recipe.scaled else np.ones(count)
    return Weights(jnp.asarray(factor, jnp.float32), jnp.ones(()), jnp.asarray(rescued)), notes


def _at_the_end(notes: list[str], history: dict[str, np.ndarray]) -> list[str]:
    """The notes, where those on images that were rescued say whether that was in vain."""
    if not history or len(history['gradient']) <= RESCUE_STEPS:
        return notes
    still = history['gradient'][-1] == 0
    return [IN_VAIN if note == RESCUED and zero else note for note, zero in zip(notes, still, strict=True)]


class _Log:
    """The numbers of the steps, which come to the host now and then."""

    def __init__(self, num_steps: int, patience: int | None, told: Told | None) -> None:
        self._num_steps, self._patience, self._told = num_steps, patience, told
        self._here: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []
        self._best = (-np.inf, 0)  # the best objectives, and how many steps there were then

    @property
    def done(self) -> int:
        """The number of steps."""
        return len(self._here) + len(self._waiting)

    def take_up(self, history: dict[str, np.ndarray]) -> bool:
        """Adds the steps of an ascent that stopped; whether it had ended."""
        rows = [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)]
        return any(self.ends_with(row) for row in rows)

    def ends_with(self, numbers: steps.Numbers | dict[str, np.ndarray]) -> bool:
        """Adds a step; whether it is the last one."""
        self._waiting.append(numbers)
        if self.done % LOOK_EVERY == 0:
            self._fetch()
            done, latest = len(self._here), np.stack([one['objective'] for one in self._here[-LOOK_EVERY:]])
            if self._told:
                self._told(done, self._num_steps, float(latest[-1].mean()))
            if self._patience is not None:
                return self._is_over(latest.max(0), done)
        return False

    def _is_over(self, latest: np.ndarray, done: int) -> bool:
        best, since = self._best
        if np.any(latest > best):
            self._best = (np.maximum(latest, best), done)
            return False
        return done - since >= (self._patience or 0)

    def _fetch(self) -> None:
        found = jax.device_get(self._waiting)
        for number, one in enumerate(found, len(self._here) + 1):
            wrong = sorted(name for name, values in one.items() if not np.isfinite(values).all())
            if wrong:
                raise DivergedError(
                    f'the ascent is not finite: {", ".join(wrong)} at step {number}; are the weights finite? else take '
                    'a smaller --set.step'
                )
        self._here += found
        self._waiting = []

    def history(self) -> dict[str, np.ndarray]:
        """All numbers by name, (steps, batch)."""
        self._fetch()
        return {name: np.stack([one[name] for one in self._here]) for name in self._here[0]} if self._here else {}
