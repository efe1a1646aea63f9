"""Running cells one after another: the runs of a cell share what is compiled, each in a work folder of its own."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from cnn_jax.ablate.grid import Cell
from cnn_jax.ablate.programs import Program, unify
from cnn_jax.ablate.score import note_diverged
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import Feed, open_feed
from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import DivergedError
from cnn_jax.evaluation.evaluate import evaluate
from cnn_jax.evaluation.exam import Exam, make_exam
from cnn_jax.experiment import Loaded
from cnn_jax.steps.state import TrainState
from cnn_jax.tasks.task import Evaluation
from cnn_jax.training import restore
from cnn_jax.training.loop import SAVED, Tools, fit
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.claim import claimed
from cnn_jax.workdir.config import describe_run
from cnn_jax.workdir.log import Log


class Shared:
    """What the runs of one cell have in common: the experiment, the devices, and the compiled functions.

    Args:
        loaded: the experiment with the options of the cell.
        data_dir: where the data set lies.
        stop: whether a signal has come.
        log_to: names of `sinks` that get the metrics of each run too.
    """

    def __init__(self, loaded: Loaded, *, data_dir: Path, stop: StopRequest, log_to: tuple[str, ...] = ()):
        self.loaded, self.data_dir, self.stop, self.log_to = loaded, data_dir, stop, log_to
        self.experiment = loaded.experiment
        self.mesh = mapping.make_mesh()
        mapping.check_divides(self.experiment.data.batch_size, self.mesh)
        self.like = restore.abstract_state(self.experiment, self.mesh)
        self.step = mapping.map_step(self.experiment.train_step(), self.mesh)
        self.eval_step = mapping.map_eval(self.experiment.eval_step(), self.mesh)
        self._init = jax.jit(self.experiment.init_state, out_shardings=restore.shardings_of(self.like))

    def initial_state(self, seed: int) -> TrainState:
        """The state before the first step of a seed; one compilation for all of them."""
        return self._init(np.uint32(seed))

    def config(self, seed: int) -> dict[str, Any]:
        """What `config.json` of a run holds."""
        return describe_run(self.loaded, seed=seed, parallel='mapped', data_dir=self.data_dir)

    def open_log(self, folder: Path) -> contextlib.closing[Log]:
        """The log of a run, for a `with` statement."""
        return contextlib.closing(Log(folder, quiet=True, log_to=self.log_to))

    def exam(self, feed: Feed) -> Exam:
        """What `fit` evaluates with; the compiled step is shared, but for averages and precise statistics."""
        experiment, size = self.experiment, self.experiment.data.batch_size
        if experiment.ema_decay is not None or experiment.precise_batch_norm:
            return make_exam(experiment, feed, self.mesh, parallel='mapped', batch_size=size, poll=self._poll)
        return lambda state, step: {'test': self.evaluate(state, feed)}

    def evaluate(self, state: TrainState, feed: Feed) -> Evaluation:
        """What a state does on the test split."""
        data = self.experiment.data
        batches = feed.test(data.batch_size)
        return evaluate(self.eval_step, state.variables, batches, num_classes=data.num_classes, poll=self._poll)

    def _poll(self) -> None:
        self.stop.poll(SAVED.format(self.experiment.num_steps))

    @property
    def batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of a training batch."""
        data = self.experiment.data
        rows = {name: jax.ShapeDtypeStruct((data.batch_size,), 'int32') for name in ('label', 'index', 'epoch')}
        image = jax.ShapeDtypeStruct((data.batch_size, *data.image_shape), 'uint8')
        return {**rows, 'image': image, 'mask': jax.ShapeDtypeStruct((data.batch_size,), 'bool')}


def unify_steps(runs: Sequence[Shared]) -> Program | None:
    """One program for the steps of cells that differ only in numbers, compiled once; None if they differ in more.

    The cells then have that program's step, each with its own numbers.
    """
    first = runs[0]
    alike = [(run.experiment.data.batch_size, run.experiment.num_steps, run.experiment.log_every) for run in runs]
    if len(runs) < 2 or len(set(alike)) > 1:
        return None
    program = unify([run.experiment.train_step() for run in runs], first.mesh, first.like, first.batch)
    if program is None:
        return None

    def step(state: TrainState, batch: Any, numbers: Any) -> Any:
        return program.run(numbers, state, batch)

    specs = (P(), P(mapping.AXIS), P())
    mapped = jax.shard_map(step, mesh=first.mesh, in_specs=specs, out_specs=(P(), P()), check_vma=True)
    compiled = jax.jit(mapped, donate_argnums=0)
    for place, run in enumerate(runs):
        numbers = mapping.replicate(run.mesh, tuple(values[place] for values in program.numbers))
        run.step = lambda state, batch, numbers=numbers: compiled(state, batch, numbers)
    return program


def run_cell(shared: Shared, cell: Cell, folder: Path) -> None:
    """Trains the run of a cell in `folder`, from its latest valid checkpoint if there is one, and evaluates it.

    A run that diverges is remembered as such. What it says goes to its own `log.txt`.

    Raises:
        Stopped: a signal came; the state is saved.
    """
    with claimed(folder, shared.config(cell.seed)), shared.open_log(folder) as log:
        try:
            _train(shared, cell, folder, log)
        except DivergedError as error:
            log.say(str(error))
            note_diverged(folder, str(error))


def _train(shared: Shared, cell: Cell, folder: Path, log: Log) -> None:
    experiment = shared.experiment
    checkpoints = Checkpoints(folder / 'checkpoints', keep=experiment.keep)
    feed = open_feed(experiment.data, data_dir=shared.data_dir, seed=cell.seed, mesh=shared.mesh)
    restored = checkpoints.restore_latest_valid(shared.like, report=log.say)
    if restored is None:
        state, seconds = shared.initial_state(cell.seed), 0.0
    else:
        state, seconds = restored.state, float(restored.note.get('seconds', 0.0))
        checkpoints.set_aside_after(restored.step)
        log.say(f'resuming at step {restored.step} of {experiment.num_steps}')

    exam = shared.exam(feed)
    tools = Tools(step=shared.step, batch=feed.train, evaluate=exam, checkpoints=checkpoints, log=log, stop=shared.stop)
    evaluated = log.cut_back(int(jax.device_get(state.step)))
    try:
        state, seconds = fit(state, experiment, tools, seconds=seconds, evaluated=evaluated)
    finally:
        checkpoints.close()
    if experiment.num_steps not in evaluated:
        for split, evaluation in exam(state, experiment.num_steps).items():
            log.metrics(experiment.num_steps, split, seconds, **evaluation.summary)
