"""The descent of a loss from an image: L-BFGS or Adam, with the pixels between black and white.

L-BFGS is scipy's L-BFGS-B, whose line search runs outside of the compiled program: inside, in optax's loop, a CPU runs
its convolutions in one thread, and a step takes ten times as long.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.errors import DivergedError

Optimizer = Literal['lbfgs', 'adam']
Loss = Callable[[jax.Array], tuple[tuple[jax.Array, dict[str, jax.Array]], jax.Array]]
"""An image in 0 .. 1 to (the loss, its parts by name), and the gradient; compiled."""
MEMORY = 20  # pairs of steps and gradients of L-BFGS
ROUNDING = 1e-4  # of the loss of an image a fortieth of a level away: a lower loss is a minimum but for rounding
LEAST = 'the start is a minimum already; nothing moves'
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
    rate: float = 0.02,
    told: Callable[[int, float], None] | None = None,
) -> Descended:
    """The image after so many steps; with L-BFGS the loss never rises.

    start: in 0 .. 1. rate: of Adam, in 0 .. 1. told: hears of the steps that are done, and the loss.

    Raises: DivergedError where the loss is not finite.
    """
    log = _Log(loss, told)
    first = log.evaluated(start)
    least = steps > 0 and first[0] <= ROUNDING * log.evaluated(_nudged(start))[0]
    if steps == 0 or least:
        log.add(first)
        return Descended(np.asarray(start, np.float32), log.history(), LEAST if least else '')
    if optimizer == 'adam':
        return _adam(log, start, steps, rate)
    return _lbfgs(log, start, steps)


def _nudged(start: np.ndarray) -> np.ndarray:
    """An image whose pixels are brighter and darker by turns, by 1e-4."""
    return start + 1e-4 * np.where(np.arange(start.size).reshape(start.shape) % 2, -1, 1)


def _lbfgs(log: '_Log', start: np.ndarray, steps: int) -> Descended:
    from scipy.optimize import minimize

    first = log.evaluated(start)
    log.add(first)
    scale = 1 / first[0] if first[0] > 0 else 1.0  # float32 gradients of any size; the search begins with steps of 1
    latest = first

    def evaluated(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        latest = log.evaluated(flat.reshape(start.shape))
        return latest[0] * scale, np.asarray(latest[2], np.float64).ravel() * scale

    found = minimize(
        evaluated,
        np.asarray(start, np.float64).ravel(),
        jac=True,
        method='L-BFGS-B',
        bounds=[(0, 1)] * start.size,
        callback=lambda flat: log.add(latest),
        options={
            'maxiter': steps, 'maxfun': EVALUATIONS * steps + 20, 'maxcor': MEMORY, 'ftol': 0, 'gtol': 0,
        },
    )  # fmt: skip
    early = '' if found.nit >= steps else f'L-BFGS ended after {found.nit} of {steps} steps: {found.message}'
    return Descended(found.x.reshape(start.shape).astype(np.float32), log.history(), early)


def _adam(log: '_Log', start: np.ndarray, steps: int, rate: float) -> Descended:
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps, alpha=0.05))
    image = jnp.asarray(start, jnp.float32)
    state = optimizer.init(image)

    @jax.jit
    def step(image, state, gradient):
        updates, state = optimizer.update(gradient, state)
        return jnp.clip(image + updates, 0, 1), state

    for _ in range(steps):
        found = log.evaluated(image)
        log.add(found)
        image, state = step(image, state, found[2])
    log.add(log.evaluated(image))
    return Descended(np.asarray(image), log.history(), '')


class _Log:
    """Evaluates a loss, and keeps the numbers of the steps."""

    def __init__(self, loss: Loss, told: Callable[[int, float], None] | None) -> None:
        self._loss, self._told = loss, told
        self._rows: list[dict[str, float]] = []

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

    def history(self) -> dict[str, np.ndarray]:
        return {name: np.array([row[name] for row in self._rows]) for name in self._rows[0]}
