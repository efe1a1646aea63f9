"""The loop of training: when to step, log, evaluate and save, and what happens when one of them fails."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.errors import CnnJaxError, DataError, DivergedError, StorageError
from cnn_jax.evaluation.exam import Exam
from cnn_jax.experiment import Experiment
from cnn_jax.steps.state import TrainState
from cnn_jax.training import not_finite
from cnn_jax.training.meter import Meter, NotFinite
from cnn_jax.training.watchdog import Watchdog
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.log import Log

SAVED = 'saved at step {}; run the same command to go on'
MOST_EXPLAINED = 10  # skipped steps; the others are only counted
MOST_REPLAYED = 2000  # steps from the last good checkpoint to one that went wrong, to look at it again


class Tools(NamedTuple):
    """What the loop calls.

    Attributes:
        step: `(state, batch) -> (state, metrics)` from `parallel.map_step`; donates the state.
        batch: `step -> batch` on the devices, a pure function.
        evaluate: `(state, step) -> evaluations by name`, see `exam`.
        checkpoints: where the state is saved.
        log: who is told.
        stop: whether a signal has come.
        again: gives the state of the newest good checkpoint; where there is none, the first.
        explain: `(state, step) -> text`: where step number `step`, counted from 1, leaves the finite numbers; None
            where nobody asks.
    """

    step: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]
    batch: Callable[[int], Any]
    evaluate: Exam
    checkpoints: Checkpoints
    log: Log
    stop: StopRequest
    again: Callable[[], TrainState] | None = None
    explain: Callable[[TrainState, int], str] | None = None


def fit(
    state: TrainState, experiment: Experiment, tools: Tools, *, seconds: float, evaluated: set[int]
) -> tuple[TrainState, float]:
    """Trains from `state` to the last step and saves it; the last state and the seconds of training so far.

    Each round begins with what is due at the step that is reached (evaluate, save), so a run that was stopped there
    does it first when it resumes.

    Args:
        state: on the devices; donated.
        experiment: the run.
        tools: see `Tools`.
        seconds: training time of the attempts before.
        evaluated: the steps that the log already has an evaluation of.

    Raises:
        Stopped: a signal came; the state is saved.
        DivergedError: the loss, the gradient or a parameter is not finite; nothing of that is saved.
        StorageError: a checkpoint cannot be written.
    """
    loop = _Loop(state, experiment, tools, seconds=seconds, evaluated=evaluated)
    loop.run()
    return loop.state, loop.meter.seconds


def due(step: int, every: int | None) -> bool:
    """Whether something that happens every so many steps happens at this one; never at step 0."""
    return every is not None and step > 0 and step % every == 0


class _Loop:
    """Where a run stands: its state, the number of steps done, the step that was saved last."""

    def __init__(self, state: TrainState, experiment: Experiment, tools: Tools, *, seconds: float, evaluated: set[int]):
        self.state, self.experiment, self.tools, self.evaluated = state, experiment, tools, evaluated
        self.step = self.start = int(jax.device_get(state.step))
        self.saved = self.step if self.step in tools.checkpoints.steps() else None
        self.meter = Meter(experiment, tools.log, seconds=seconds, skipped=self._skipped)
        self.num_skipped = 0

    def run(self) -> None:
        try:
            with self.tools.log.progress(self.experiment.num_steps, self.start):
                try:
                    with jax.transfer_guard_host_to_device('disallow'), Watchdog(self.tools.log) as watchdog:
                        self._train(watchdog)
                    self._save(last=True)
                except Stopped as stopped:
                    self._save(last=True)
                    raise Stopped(stopped.signal_number, SAVED.format(self.step)) from None
        except NotFinite as error:
            raise self._diverged(error) from error
        if self.num_skipped:
            self.tools.log.say(f'{self.num_skipped} steps were skipped because they were not finite')

    def _train(self, watchdog: Watchdog) -> None:
        while self.step < self.experiment.num_steps:
            with watchdog.resting():
                if due(self.step, self.experiment.evaluate_every) and self.step not in self.evaluated:
                    self._evaluate()
                if due(self.step, self.experiment.save_every):
                    self._save()
            self.tools.stop.poll('', step=self.step)
            with self.meter.waiting():
                batch = self._batch()
            self.state, metrics = self.tools.step(self.state, batch)
            self.step += 1
            self.meter.add(self.step, metrics)
            watchdog.beat()

    def _batch(self) -> Any:
        try:
            return self.tools.batch(self.step)
        except (OSError, LookupError, TypeError, ValueError) as error:  # of a source; JAX has errors of its own
            if isinstance(error, CnnJaxError):
                raise
            raise DataError(
                f'the batch of step {self.step + 1} cannot be read: {type(error).__name__}: {error}; '
                'look at the data set, or run --mode=prepare'
            ) from error

    def _evaluate(self) -> None:
        self.meter.flush()
        begin, seconds = time.monotonic(), self.meter.seconds
        for split, evaluation in self.tools.evaluate(self.state, self.step).items():
            summary = evaluation.summary
            self.tools.log.metrics(self.step, split, seconds, **summary)
            self.tools.log.say(
                f'step {self.step}/{self.experiment.num_steps}  '
                f'{split} accuracy {summary["top1"]:.2%}  {split} loss {summary["loss"]:.4f}'
            )
        self.meter.pause(time.monotonic() - begin)

    def _save(self, *, last: bool = False) -> None:
        """Saves in the background, or with `last` before it returns; an error of the save before shows here too."""
        self.meter.flush()
        with self._failing(last and self.step == self.saved):
            self.tools.checkpoints.wait()
        if self.step != self.saved:
            broken = not_finite.first_broken(self.state)
            if broken:
                raise NotFinite(self.step, f'{broken} is no longer finite after the update')
            with self._failing(last):
                self.tools.checkpoints.save(self.step, self.state, note={'seconds': self.meter.seconds})
                self.saved = self.step
        if last:
            self.tools.checkpoints.wait()

    @contextlib.contextmanager
    def _failing(self, last: bool) -> Iterator[None]:
        """Around a save: its failure ends the run, or is a warning where the experiment says so; never of the last."""
        try:
            yield
        except StorageError as error:
            if last or self.experiment.on_save_error == 'stop':
                raise
            self.saved = None
            self.tools.log.say(f'warning: {error}; training goes on without it')

    def _skipped(self, number: int, what: str) -> None:
        self.num_skipped += 1
        if self.num_skipped <= MOST_EXPLAINED:
            self.tools.log.say(f'warning: step {number} is skipped: {what}{self._explain(self.state, number)}')
        elif self.num_skipped == MOST_EXPLAINED + 1:
            self.tools.log.say('warning: more steps are skipped; they are only counted from here on')

    def _diverged(self, error: NotFinite) -> DivergedError:
        with contextlib.suppress(StorageError):
            self.tools.checkpoints.wait()
        steps = self.tools.checkpoints.steps()
        good = f'the last good checkpoint is step {steps[-1]}' if steps else 'no checkpoint was saved before it'
        where = '' if error.skipped else self._replay(error.step)
        return DivergedError(f'training diverged: {error}{where}; {good}; lower the learning rate, or look at the data')

    def _replay(self, number: int) -> str:
        """Trains again from the last good checkpoint up to the step that went wrong, which repeats it bit for bit."""
        if self.tools.again is None:
            return ''
        del self.state  # what diverged need not stay on the devices beside the other
        state = self.tools.again()
        first = int(jax.device_get(state.step))
        if number - 1 - first <= MOST_REPLAYED:
            for step in range(first, number - 1):
                state, _ = self.tools.step(state, self.tools.batch(step))
        return self._explain(state, number)

    def _explain(self, state: TrainState, number: int) -> str:
        if self.tools.explain is None:
            return ''
        with jax.transfer_guard_host_to_device('allow'):
            return f'; {self.tools.explain(state, number)}'
