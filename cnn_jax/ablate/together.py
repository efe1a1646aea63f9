"""Many runs at once, of one cell or of cells that differ only in numbers: stacked states, and one `vmap`ped step.

Each run has its own parameters, order, augmentation and dropout, as when it runs alone; the batches are bit-equal, the
parameters equal within the rounding of sums. It needs a data set that is kept whole on the devices.

On a CPU this is not used: a convolution whose kernels differ by seed becomes a grouped convolution there, which is
slower than one seed after the other (`benchmarks/ablate.py` measures both).
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from cnn_jax.ablate.cells import Shared
from cnn_jax.ablate.grid import Cell
from cnn_jax.ablate.programs import Program
from cnn_jax.ablate.score import note_diverged
from cnn_jax.data import order, pipeline
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.devices.mapping import AXIS
from cnn_jax.devices.stop import Stopped
from cnn_jax.steps.state import TrainState
from cnn_jax.training.loop import due
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.claim import claimed
from cnn_jax.workdir.log import Log

MOST_PARAMETERS = 5_000_000  # of all seeds together; larger nets fill a device by themselves


def suits(shared: Shared, seeds: int) -> bool:
    """Whether seeds are run at once: several, of a small net, on a resident set, on an accelerator, in one process."""
    experiment = shared.experiment
    size = sum(leaf.size for leaf in jax.tree.leaves(shared.like.params))
    return (
        seeds > 1
        and jax.default_backend() != 'cpu'
        and jax.process_count() == 1
        and pipeline.is_resident(experiment.data)
        and size * seeds <= MOST_PARAMETERS
        and not (experiment.ema_decay or experiment.precise_batch_norm or experiment.on_nan != 'stop')
    )


class Together:
    """Several runs, advanced by one step at a time.

    Args:
        runs: the cell and the seed of each.
        cells: the distinct cells, in the order of `program`.
        program: of the steps of these; None where there is one cell.
    """

    def __init__(self, runs: Sequence[tuple[Shared, int]], cells: Sequence[Shared], program: Program | None = None):
        self.runs, self.shared = tuple(runs), cells[0]
        self.seeds = tuple(seed for _, seed in runs)
        shared = self.shared
        experiment, mesh = shared.experiment, shared.mesh
        places = [next(place for place, cell in enumerate(cells) if cell is run) for run, _ in runs]
        numbers = tuple(values[places] for values in program.numbers) if program else ()
        self._numbers = mapping.replicate(mesh, numbers)
        feed = open_feed(experiment.data, data_dir=shared.data_dir, seed=0, mesh=mesh)
        self.test_feed = feed
        self._arrays = mapping.replicate(mesh, pipeline.load_arrays(feed.source('train')))
        self._rows = len(feed.source('train'))
        step = experiment.train_step()

        def advance(state: TrainState, arrays: Any, where: dict[str, jax.Array], numbers: Any) -> Any:
            def one(state: TrainState, where: dict[str, jax.Array], numbers: Any) -> Any:
                batch = {**jax.tree.map(lambda array: array[where['index']], arrays), **where}
                return program.run(numbers, state, batch) if program else step(state, batch)

            return jax.vmap(one)(state, where, numbers)

        specs = (P(), P(), P(None, AXIS), P())
        mapped = jax.shard_map(advance, mesh=mesh, in_specs=specs, out_specs=(P(), P()), check_vma=True)
        self._step = jax.jit(mapped, donate_argnums=0)

    def initial_state(self) -> TrainState:
        """The states before the first step, stacked along a new first axis."""
        return stack([shared.initial_state(seed) for shared, seed in self.runs])

    def where(self, step: int) -> dict[str, np.ndarray]:
        """Index, epoch and mask of the batch of each seed, (seeds, batch): the same as when it runs alone."""
        data = self.shared.experiment.data
        found = [order.rows(self._rows, seed, step, data.batch_size, data.repeats) for seed in self.seeds]
        index, epoch = (np.stack([rows[part] for rows in found]) for part in (0, 1))
        return {'index': index, 'epoch': epoch, 'mask': np.ones(index.shape, bool)}

    def step(self, state: TrainState, step: int) -> tuple[TrainState, dict[str, jax.Array]]:
        """One step of every seed; the metrics are (seeds,) arrays. Donates the state."""
        return self._step(state, self._arrays, self.where(step), self._numbers)


def stack(states: Sequence[TrainState]) -> TrainState:
    """States of the same shapes as one, with a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def unstack(state: TrainState, place: int) -> TrainState:
    """One of stacked states."""
    return jax.tree.map(lambda leaf: leaf[place], state)


def run_together(runs: Sequence[tuple[Shared, Cell]], path: Path, program: Program | None = None) -> None:
    """Trains runs from their beginnings, each into its own folder, and evaluates them.

    The folders are written at each evaluation and at the end. After a stop the runs in hand start anew.

    Raises:
        Stopped: a signal came.
    """
    with ExitStack() as held:
        for shared, cell in runs:
            held.enter_context(claimed(path / cell.folder, shared.config(cell.seed)))
        logs = [held.enter_context(shared.open_log(path / cell.folder)) for shared, cell in runs]
        for log in logs:
            log.cut_back(0)
        distinct = list(dict.fromkeys(shared for shared, _ in runs))
        together = Together([(shared, cell.seed) for shared, cell in runs], distinct, program)
        _Loop(together, [cell for _, cell in runs], logs, path).run()


class _Loop:
    def __init__(self, together: Together, cells: Sequence[Cell], logs: Sequence[Log], path: Path):
        self.together, self.cells, self.logs, self.path = together, cells, logs, path
        self.begin, self.paused = time.monotonic(), 0.0
        self.waiting: tuple[int, dict[str, jax.Array]] | None = None

    @property
    def seconds(self) -> float:
        """A seed's share of the training time."""
        return (time.monotonic() - self.begin - self.paused) / len(self.cells)

    def run(self) -> None:
        experiment, stop = self.together.shared.experiment, self.together.shared.stop
        state = self.together.initial_state()
        for step in range(experiment.num_steps):
            try:
                stop.poll('')
            except Stopped as stopped:
                raise Stopped(stopped.signal_number, 'these runs start anew') from None
            if due(step, experiment.evaluate_every):
                self._evaluate(step, state)
            state, metrics = self.together.step(state, step)
            if (step + 1) % experiment.log_every == 0 or step + 1 == experiment.num_steps:
                self._flush()
                self.waiting = step + 1, metrics
        self._flush()
        self._save(experiment.num_steps, state)
        self._evaluate(experiment.num_steps, state)

    def _flush(self) -> None:
        """Logs the metrics of the last logged step: they have arrived by now."""
        if self.waiting is None:
            return
        step, metrics = self.waiting
        self.waiting = None
        values = jax.device_get(metrics)
        for place, log in enumerate(self.logs):
            log.metrics(step, 'train', self.seconds, **{name: float(value[place]) for name, value in values.items()})

    def _evaluate(self, step: int, state: TrainState) -> None:
        self._flush()
        begin, shared = time.monotonic(), self.together.shared
        for place, log in enumerate(self.logs):
            result = shared.evaluate(unstack(state, place), self.together.test_feed)
            log.metrics(step, 'test', self.seconds, **result.summary)
        self.paused += time.monotonic() - begin

    def _save(self, step: int, state: TrainState) -> None:
        """Writes the checkpoint of each seed; those whose parameters are not finite are remembered as diverged."""
        for place, (cell, log) in enumerate(zip(self.cells, self.logs, strict=True)):
            own, folder = unstack(state, place), self.path / cell.folder
            if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(own.params)):
                log.say('training diverged: a parameter is not finite')
                note_diverged(folder, 'a parameter is not finite')
                continue
            checkpoints = Checkpoints(folder / 'checkpoints', keep=1)
            checkpoints.save(step, own, note={'seconds': self.seconds})
            checkpoints.close()
