"""Running cells one after another: the runs of a cell share what is compiled, each in a work folder of its own."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import PartitionSpec as P

from cnn_jax.ablate.grid import Cell
from cnn_jax.ablate.programs import Program, unify
from cnn_jax.ablate.score import note_diverged
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import DivergedError
from cnn_jax.experiment import Experiment, Loaded
from cnn_jax.steps.state import TrainState
from cnn_jax.training.setup import Setup
from cnn_jax.training.train import train
from cnn_jax.workdir.claim import claimed
from cnn_jax.workdir.config import describe_run
from cnn_jax.workdir.log import Log


class Shared:
    """What the runs of one cell have in common: the experiment on the devices, and what is asked of each run.

    Args:
        loaded: the experiment with the options of the cell.
        data_dir: where the data set lies.
        stop: whether a signal has come.
        log_to: names of `sinks` that get the metrics of each run too.
        init_from: a weights file or another run, whose variables each run starts from.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        data_dir: Path,
        stop: StopRequest,
        log_to: tuple[str, ...] = (),
        init_from: Path | None = None,
    ):
        experiment = dataclasses.replace(loaded.experiment, history=None)  # nobody looks at each of hundreds of runs
        self.loaded = loaded._replace(experiment=experiment)
        self.stop, self.log_to, self.init_from = stop, log_to, init_from
        self.setup = Setup(experiment, data_dir=data_dir)

    @property
    def experiment(self) -> Experiment:
        """That of the cell."""
        return self.loaded.experiment

    def fold(self, seed: int) -> int:
        """The images that a run holds out: seed k the k-th part, so that the seeds choose on different ones."""
        return seed % self.experiment.data.folds

    def config(self, seed: int) -> dict[str, Any]:
        """What `config.json` of a run holds."""
        return describe_run(
            self.loaded.with_fold(self.fold(seed)),
            seed=seed,
            parallel='mapped',
            data_dir=self.setup.data_dir,
            init_from=self.init_from,
        )

    def open_log(self, folder: Path) -> contextlib.closing[Log]:
        """The log of a run, for a `with` statement."""
        return contextlib.closing(Log(folder, quiet=True, log_to=self.log_to))


def unify_steps(runs: Sequence[Shared]) -> Program | None:
    """One program for the steps of cells that differ only in numbers, compiled once; None if they differ in more.

    The cells then have that program's step, each with its own numbers.
    """
    first = runs[0].setup
    alike = [(run.experiment.data.batch_size, run.experiment.num_steps, run.experiment.log_every) for run in runs]
    if len(runs) < 2 or len(set(alike)) > 1:
        return None
    steps = [run.setup.step for run in runs]
    program = unify(steps, first.mesh, first.like, first.experiment.batch_shapes())
    if program is None:
        return None

    def step(state: TrainState, batch: Any, numbers: Any) -> Any:
        return program.run(numbers, state, batch)

    specs = (P(), P(mapping.AXIS), P())
    mapped = jax.shard_map(step, mesh=first.mesh, in_specs=specs, out_specs=(P(), P()), check_vma=True)
    compiled = jax.jit(mapped, donate_argnums=0)
    for place, run in enumerate(runs):
        numbers = mapping.replicate(first.mesh, tuple(values[place] for values in program.numbers))
        run.setup.train_step = lambda state, batch, numbers=numbers: compiled(state, batch, numbers)
    return program


def run_cell(shared: Shared, cell: Cell, folder: Path) -> None:
    """Trains the run of a cell in `folder`, from its latest valid checkpoint if there is one, and evaluates it.

    A run that diverges is remembered as such. What it says goes to its own `log.txt`.

    Raises:
        Stopped: a signal came; the state is saved.
    """
    with claimed(folder, shared.config(cell.seed)), shared.open_log(folder) as log:
        try:
            train(
                shared.setup,
                seed=cell.seed,
                workdir=folder,
                log=log,
                stop=shared.stop,
                init_from=shared.init_from,
                fold=shared.fold(cell.seed),
                open_test=False,
            )
        except DivergedError as error:
            log.say(str(error))
            note_diverged(folder, str(error))
