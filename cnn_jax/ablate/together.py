"""Many runs at once, of one cell or of cells that differ only in numbers: stacked states, and one `vmap`ped step.

Each run has its own parameters, order, augmentation and dropout, as when it runs alone; the batches are bit-equal, the
parameters equal within the rounding of sums. It needs a data set that is kept whole on the devices.

On a CPU this is not used: a convolution whose kernels differ by seed becomes a grouped convolution there, which is
slower than one seed after the other (`benchmarks/ablate.py` measures both).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from cnn_jax.ablate.cells import Shared
from cnn_jax.ablate.grid import Cell
from cnn_jax.ablate.programs import Program
from cnn_jax.ablate.score import note_diverged
from cnn_jax.data import order, pipeline
from cnn_jax.devices import mapping
from cnn_jax.devices.mapping import AXIS
from cnn_jax.steps.state import TrainState
from cnn_jax.training import loop
from cnn_jax.training.lane import Lane
from cnn_jax.training.train import close, finish, open_lane
from cnn_jax.workdir.claim import claimed

MOST_PARAMETERS = 5_000_000  # of all seeds together; larger nets fill a device by themselves


def suits(shared: Shared, seeds: int) -> bool:
    """Whether seeds are run at once: several, of a small net, on a resident set, on an accelerator, in one process."""
    experiment = shared.experiment
    size = sum(leaf.size for leaf in jax.tree.leaves(shared.setup.like.params))
    return (
        seeds > 1
        and jax.default_backend() != 'cpu'
        and jax.process_count() == 1
        and pipeline.is_resident(experiment.data)
        and size * seeds <= MOST_PARAMETERS
        and experiment.on_nan == 'stop'
    )


def share_images(cells: Sequence[Shared]) -> bool:
    """Whether cells train on the same rows: bit for bit, as often repeated."""
    first, *others = [(_training_rows(shared), shared.experiment.data.repeats) for shared in cells]
    return all(
        repeats == first[1]
        and rows.keys() == first[0].keys()
        and all(np.array_equal(rows[name], values) for name, values in first[0].items())
        for rows, repeats in others
    )


def _training_rows(shared: Shared, fold: int = 0) -> pipeline.Batch:
    data = shared.experiment.data.with_fold(fold)
    return pipeline.load_arrays(data.open('train', shared.setup.data_dir), data.row_fields)


class Together:
    """Several runs, advanced by one step at a time.

    Args:
        runs: the cell and the seed of each.
        cells: the distinct cells, in the order of `program`; they train on the same images.
        program: of the steps of these; None where there is one cell.
    """

    def __init__(self, runs: Sequence[tuple[Shared, int]], cells: Sequence[Shared], program: Program | None = None):
        self.seeds = tuple(seed for _, seed in runs)
        self.setup = cells[0].setup
        self.data, self.mesh = self.setup.experiment.data, self.setup.mesh
        places = [next(place for place, cell in enumerate(cells) if cell is run) for run, _ in runs]
        numbers = tuple(values[places] for values in program.numbers) if program else ()
        self._numbers = mapping.replicate(self.mesh, numbers)
        self._folds = [run.fold(seed) for run, seed in runs]
        rows = {fold: _training_rows(cells[0], fold) for fold in dict.fromkeys(self._folds)}
        self._counts = {fold: len(arrays['image']) for fold, arrays in rows.items()}
        ends = np.cumsum(list(self._counts.values()))
        self._starts = dict(zip(rows, (0, *ends), strict=False))  # of each fold's rows among those of all
        names = next(iter(rows.values()))
        joined = {name: np.concatenate([arrays[name] for arrays in rows.values()]) for name in names}
        self._readable = joined.pop('mask')
        self._arrays = mapping.replicate(self.mesh, joined)
        step = self.setup.step

        def advance(state: TrainState, arrays: Any, where: dict[str, jax.Array], numbers: Any) -> Any:
            def one(state: TrainState, where: dict[str, jax.Array], numbers: Any) -> Any:
                rows, where = where['row'], {name: where[name] for name in where if name != 'row'}
                batch = {**jax.tree.map(lambda array: array[rows], arrays), **where}
                return program.run(numbers, state, batch) if program else step(state, batch)

            return jax.vmap(one)(state, where, numbers)

        specs = (P(), P(), P(None, AXIS), P())
        mapped = jax.shard_map(advance, mesh=self.mesh, in_specs=specs, out_specs=(P(), P()), check_vma=True)
        self._step = jax.jit(mapped, donate_argnums=0)

    def where(self, step: int) -> dict[str, np.ndarray]:
        """Index, epoch and mask of the batch of each seed, (seeds, batch): the same as when it runs alone.

        `row` is where an image lies in the arrays of all folds.
        """
        data, pairs = self.data, list(zip(self.seeds, self._folds, strict=True))
        found = [order.rows(self._counts[fold], seed, step, data.batch_size, data.repeats) for seed, fold in pairs]
        index, epoch = (np.stack([rows[part] for rows in found]) for part in (0, 1))
        row = index + np.array([self._starts[fold] for fold in self._folds], np.int32)[:, None]
        return {'index': index, 'epoch': epoch, 'mask': self._readable[row], 'row': row}

    def batch(self, step: int) -> Any:
        """`where`, on the devices."""
        return jax.device_put(self.where(step), NamedSharding(self.mesh, P(None, AXIS)))

    def step(self, state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        """One step of every seed; the metrics are (seeds,) arrays. Donates the state."""
        return self._step(state, self._arrays, batch, self._numbers)


def stack(states: Sequence[TrainState]) -> TrainState:
    """States of the same shapes as one, with a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def unstack(state: TrainState, place: int) -> TrainState:
    """One of stacked states."""
    with jax.transfer_guard_host_to_device('allow'):  # of the place
        return jax.tree.map(lambda leaf: leaf[place], state)


def run_together(runs: Sequence[tuple[Shared, Cell]], path: Path, program: Program | None = None) -> None:
    """Trains runs, each in its own folder, from where it stands, and evaluates them.

    Runs that stand at the same step advance together. A run that diverges is remembered as such; the others go on.

    Raises:
        Stopped: a signal came; the states are saved.
    """
    cells = list(dict.fromkeys(shared for shared, _ in runs))
    with ExitStack() as held:
        opened: dict[int, list[_Opened]] = {}
        for shared, cell in runs:
            folder = path / cell.folder
            held.enter_context(claimed(folder, shared.config(cell.seed)))
            log = held.enter_context(shared.open_log(folder))
            given = {'seed': cell.seed, 'workdir': folder, 'log': log, 'init_from': shared.init_from}
            lane, state, seconds = open_lane(shared.setup, stop=shared.stop, fold=shared.fold(cell.seed), **given)
            held.callback(close, lane)
            first = int(jax.device_get(state.step))
            opened.setdefault(first, []).append(_Opened(shared, cell, folder, lane, state, seconds))
        for first, group in opened.items():
            _fit(group, cells, program, first)


class _Opened:
    """A run that is ready."""

    def __init__(self, shared: Shared, cell: Cell, folder: Path, lane: Lane, state: TrainState, seconds: float):
        self.shared, self.cell, self.folder, self.lane = shared, cell, folder, lane
        self.state, self.seconds = state, seconds


def _last_state(run: _Opened, state: TrainState, place: int) -> TrainState:
    """Where a run has ended: the others may have gone on, and its place in the stack with them."""
    if run.lane.ended is None:
        return unstack(state, place)
    return run.lane.checkpoints.restore(run.lane.ended, run.lane.setup.like).state


def _fit(group: Sequence[_Opened], cells: Sequence[Shared], program: Program | None, first: int) -> None:
    together = Together([(run.shared, run.cell.seed) for run in group], cells, program)
    state, lanes = stack([run.state for run in group]), [run.lane for run in group]
    advance = loop.Program(together.step, together.batch, unstack)
    seconds = float(np.mean([run.seconds for run in group]))
    state, seconds = loop.fit(state, lanes, advance, first=first, seconds=seconds, stop=group[0].shared.stop)
    for place, run in enumerate(group):
        if run.lane.diverged is None:
            finish(run.lane, _last_state(run, state, place), seconds, open_test=False)
        else:
            run.lane.log.say(str(run.lane.diverged))
            note_diverged(run.folder, str(run.lane.diverged))
