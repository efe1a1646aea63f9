"""The descent of a loss from an image: L-BFGS or Adam, with the pixels between black and white.

Where a folder is kept (`kept.keeping`) a descent goes on where the same one stopped: with Adam as if it had not, with
L-BFGS from the image that it had come to, without the pairs of steps and gradients that it remembered.

L-BFGS is scipy's L-BFGS-B, whose line search runs outside of the compiled program: inside, in optax's loop, a CPU runs
its convolutions in one thread, and a step takes ten times as long.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.errors import DivergedError
from cnn_jax.visualize.optimized.kept import Keeper

Optimizer = Literal['lbfgs', 'adam']
Loss = Callable[[jax.Array], tuple[tuple[jax.Array, dict[str, jax.Array]], jax.Array]]
"""An image in 0 .. 1 to (the loss, its parts by name), and the gradient; compiled."""
MEMORY = 20  # pairs of steps and gradients of L-BFGS
ROUNDING = 1e-4  # of the loss of an image a fortieth of a level away: a lower loss is a minimum but for rounding
LEAST = 'the start is a minimum already; nothing moves'
LOGGED = 'log '  # before the names of what is kept of the history
EVALUATIONS = 2  # at most, on average, for a step of L-BFGS


class Descended(NamedTuple):
    """An image, with what was logged."""

    image: np.ndarray  # float32 in 0 .. 1, in the shape of the start
    history: dict[str, np.ndarray]  # (steps + 1,): 'loss' before the first step and after each, and its parts
    note: str  # '' where there is nothing to say


def descend(
    loss: Loss,
    start: np.ndarray,
    *,
    optimizer: Optimizer,
    steps: int,
    known_by: Callable[[], Sequence[Any]],
    rate: float = 0.02,
    told: Callable[[int, float], None] | None = None,
) -> Descended:
    """The image after so many steps; with L-BFGS the loss never rises.

    start: in 0 .. 1. known_by: texts and trees of arrays that the loss depends on. rate: of Adam, in 0 .. 1. told:
    hears of the steps that are done, and the loss.

    Raises: DivergedError where the loss is not finite.
    """
    log = _Log(loss, Keeper(lambda: (*known_by(), optimizer, f'{steps} {rate}', start)), told)
    if not log.kept:
        first = log.evaluated(start)
        least = steps > 0 and first[0] <= ROUNDING * log.evaluated(_nudged(start))[0]
        if steps == 0 or least:
            log.add(first)
            return Descended(np.asarray(start, np.float32), log.history(), LEAST if least else '')
    found = _adam(log, start, steps, rate) if optimizer == 'adam' else _lbfgs(log, start, steps)
    log.keep_the_end(found.image)
    return found


def _nudged(start: np.ndarray) -> np.ndarray:
    """An image whose pixels are brighter and darker by turns, by 1e-4."""
    return start + 1e-4 * np.where(np.arange(start.size).reshape(start.shape) % 2, -1, 1)


def _lbfgs(log: '_Log', start: np.ndarray, steps: int) -> Descended:
    from scipy.optimize import minimize

    image = log.kept.get('image', start)
    latest = log.evaluated(image)
    if not log.kept:
        log.add(latest)
    left = steps - (log.count - 1)
    if left <= 0:
        return Descended(np.asarray(image, np.float32), log.history(), '')
    scale = 1 / latest[0] if latest[0] > 0 else 1.0  # float32 gradients of any size; the search begins with steps of 1

    def evaluated(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        latest = log.evaluated(flat.reshape(start.shape))
        return latest[0] * scale, np.asarray(latest[2], np.float64).ravel() * scale

    def done(flat: np.ndarray) -> None:
        log.add(latest)
        log.keep_when_due(lambda: flat.reshape(start.shape))

    found = minimize(
        evaluated,
        np.asarray(image, np.float64).ravel(),
        jac=True,
        method='L-BFGS-B',
        bounds=[(0, 1)] * start.size,
        callback=done,
        options={
            'maxiter': left, 'maxfun': EVALUATIONS * left + 20, 'maxcor': MEMORY, 'ftol': 0, 'gtol': 0,
        },
    )  # fmt: skip
    early = '' if found.nit >= left else f'L-BFGS ended after {log.count - 1} of {steps} steps: {found.message}'
    return Descended(found.x.reshape(start.shape).astype(np.float32), log.history(), early)


def _adam(log: '_Log', start: np.ndarray, steps: int, rate: float) -> Descended:
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps, alpha=0.05))
    image = jnp.asarray(log.kept.get('image', start), jnp.float32)
    leaves, structure = jax.tree.flatten(optimizer.init(image))
    state = jax.tree.unflatten(structure, [log.kept.get(f'moment {n}', leaf) for n, leaf in enumerate(leaves)])

    @jax.jit
    def step(image, state, gradient):
        updates, state = optimizer.update(gradient, state)
        return jnp.clip(image + updates, 0, 1), state

    for _ in range(log.count, steps):
        found = log.evaluated(image)
        log.add(found)
        image, state = step(image, state, found[2])
        log.keep_when_due(lambda image=image: image, lambda state=state: jax.tree.leaves(state))
    if log.count <= steps:
        log.add(log.evaluated(image))
    return Descended(np.asarray(image), log.history(), '')


class _Log:
    """Evaluates a loss, and keeps the numbers of the steps.

    Attributes:
        kept: the arrays of a descent that stopped, `image` and `moment 0` ..; empty where there was none.
    """

    def __init__(self, loss: Loss, keeper: Keeper, told: Callable[[int, float], None] | None) -> None:
        self._loss, self._keeper, self._told = loss, keeper, told
        self.kept = keeper.found()
        logged = {name.removeprefix(LOGGED): one for name, one in self.kept.items() if name.startswith(LOGGED)}
        rows = zip(*logged.values(), strict=True)
        self._rows: list[dict[str, float]] = [dict(zip(logged, map(float, row), strict=True)) for row in rows]

    @property
    def count(self) -> int:
        """The number of losses that are logged."""
        return len(self._rows)

    def evaluated(self, image: np.ndarray | jax.Array) -> tuple[float, dict[str, float], jax.Array]:
        (loss, parts), gradient = self._loss(jnp.asarray(image, jnp.float32))
        found = float(loss)
        if not np.isfinite(found):
            raise DivergedError(
                f'the loss is not finite at step {len(self._rows)}; are the weights finite? else --set.optimizer=lbfgs'
            )
        return found, {name: float(one) for name, one in parts.items()}, gradient

    def add(self, found: tuple[float, dict[str, float], jax.Array]) -> None:
        self._rows.append({'loss': found[0], **found[1]})
        if self._told:
            self._told(len(self._rows) - 1, found[0])

    def keep_when_due(self, image: Callable[[], Any], moments: Callable[[], list[Any]] = list) -> None:
        """Keeps the descent as it is, where the last time is long enough ago."""
        if self._keeper.is_due:
            self._keep(np.asarray(image(), np.float32), moments())

    def keep_the_end(self, image: np.ndarray) -> None:
        """Keeps a descent that is done, where it was kept before: another one of the same picture may take long."""
        if self._keeper.has_kept:
            self._keep(image, [])

    def _keep(self, image: np.ndarray, moments: list[Any]) -> None:
        numbered = {f'moment {number}': np.asarray(leaf) for number, leaf in enumerate(moments)}
        logged = {f'{LOGGED}{name}': values for name, values in self.history().items()}
        self._keeper.keep({'image': image, **numbered, **logged}, image)

    def history(self) -> dict[str, np.ndarray]:
        return {name: np.array([row[name] for row in self._rows]) for name in self._rows[0]}
