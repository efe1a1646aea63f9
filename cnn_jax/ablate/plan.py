"""What a grid would cost, before it is run: the cells, what is compiled, and the time by a short probe."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from cnn_jax.ablate.cells import Shared, unify_steps
from cnn_jax.ablate.grid import Cell, Grid, alike
from cnn_jax.devices.compilation import forget_if_many
from cnn_jax.devices.stop import StopRequest
from cnn_jax.drawing.words import duration
from cnn_jax.experiment import load
from cnn_jax.workdir.log import Log

PROBE_STEPS = 8


class Probe(NamedTuple):
    """What a few steps of a cell took.

    Attributes:
        compile_seconds: initialisation, the first training step and the first evaluation.
        step_seconds: of one training step.
        evaluation_seconds: of one evaluation.
    """

    compile_seconds: float
    step_seconds: float
    evaluation_seconds: float

    def run_seconds(self, num_steps: int, evaluate_every: int | None) -> float:
        """Of a whole run, compilation left out."""
        evaluations = 1 + (num_steps - 1) // evaluate_every if evaluate_every else 1
        return num_steps * self.step_seconds + evaluations * self.evaluation_seconds


def show(grid: Grid, todo: Sequence[Cell], *, data_dir: Path, stop: StopRequest, log: Log) -> None:
    """Prints the runs that are left; then how many cells are compiled, and the time that they will take.

    Raises:
        Stopped: a signal came.
    """
    say = log.say
    say(f'{grid.experiment}: {len(grid.variants)} cells, {len(grid.seeds)} seeds, {len(todo)} runs to do')
    names = {cell.name: [other.number for other in todo if other.name == cell.name] for cell in todo}
    for name, numbers in names.items():
        baseline = '  (baseline)' if name == grid.baseline else ''
        say(f'  {name}{baseline}: --cell {", ".join(map(str, numbers))}')
    say(f'their time, by {PROBE_STEPS} steps and an evaluation of each; the first step of a new form is compiled:')
    total, compiled = 0.0, 0
    for group in alike(todo).values():
        options = {cell.name: cell.options for cell in group}
        shared = {
            name: Shared(load(grid.experiment, given), data_dir=data_dir, stop=stop) for name, given in options.items()
        }
        compiled += 1 if unify_steps(list(shared.values())) else len(shared)
        for name in [*shared]:
            runs = shared.pop(name)  # what it compiles goes with it
            stop.poll('stopped; nothing was run')
            forget_if_many()
            own = [cell for cell in group if cell.name == name]
            with log.working(f'compiling and timing {name}'):
                found, steps = probe(runs, own[0].seed), runs.experiment.num_steps
            each = found.run_seconds(steps, runs.experiment.evaluate_every)
            total += found.compile_seconds + len(own) * each
            say(f'  {name}: {steps} steps, {duration(each)} a run')
    say(f'{compiled} training step{"s are" if compiled > 1 else " is"} compiled, and now in the cache')
    say(f'expected time   {duration(total)} in one process, by a probe of {PROBE_STEPS} steps')


def probe(shared: Shared, seed: int) -> Probe:
    """Compiles and times a few steps and an evaluation of a cell; nothing is written."""
    begin = time.monotonic()
    setup = shared.setup
    feed = setup.open_feed(seed)
    state = setup.initial_state(seed)
    state, _ = setup.train_step(state, feed.train(0))
    setup.evaluate(state.variables, feed, shared.experiment.data.choosing_split)
    compiled = time.monotonic()
    for step in range(1, PROBE_STEPS + 1):
        state, _ = setup.train_step(state, feed.train(step))
    jax.block_until_ready(state)
    stepped = time.monotonic()
    setup.evaluate(state.variables, feed, shared.experiment.data.choosing_split)
    end = time.monotonic()
    return Probe(compiled - begin, (stepped - compiled) / PROBE_STEPS, end - stepped)
