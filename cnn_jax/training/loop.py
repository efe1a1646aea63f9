"""The loop of training: when to step, log, evaluate and save, and what happens when one of them fails."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import jax

from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.errors import CnnJaxError, DataError, DivergedError, StorageError, check_shortage
from cnn_jax.steps.state import TrainState
from cnn_jax.training import not_finite
from cnn_jax.training.lane import Lane
from cnn_jax.training.meter import Meter, NotFinite
from cnn_jax.training.watchdog import Watchdog

SAVED = 'saved at step {}; run the same command to go on'
MOST_EXPLAINED = 10  # skipped steps; the others are only counted


@dataclass
class Program:
    """What advances the runs of a loop.

    Attributes:
        step: `(state, batch) -> (state, metrics)`; donates the state.
        batch: `step -> batch` on the devices, a pure function.
        state_of: `(state, run) -> state` of one of them.
    """

    step: Callable[[Any, Any], tuple[Any, dict[str, jax.Array]]]
    batch: Callable[[int], Any]
    state_of: Callable[[Any, int], TrainState] = lambda state, run: state


def fit(
    state: Any, lanes: Sequence[Lane], program: Program, *, first: int, seconds: float, stop: StopRequest
) -> tuple[Any, float]:
    """Trains from `state` to the last step and saves it; the last state and the seconds of training so far.

    Each round begins with what is due at the step that is reached (evaluate, save), so a run that was stopped there
    does it first when it resumes. A run whose patience is at an end stays as it is.

    Args:
        state: on the devices, of one run or of several that advance together; donated.
        lanes: the runs; their steps, batch size and logging are the first one's.
        program: what advances them.
        first: steps that are done.
        seconds: training time of the attempts before.
        stop: whether a signal has come.

    Raises:
        Stopped: a signal came; the state is saved.
        DivergedError: the loss, the gradient or a parameter is not finite; nothing of that is saved.
        StorageError: a checkpoint cannot be written.
    """
    loop = _Loop(state, lanes, program, first=first, seconds=seconds, stop=stop)
    loop.run()
    return loop.state, loop.meter.seconds


def due(step: int, every: int | None) -> bool:
    """Whether something that happens every so many steps happens at this one; never at step 0."""
    return every is not None and step > 0 and step % every == 0


class _Loop:
    """Where the runs stand: their state, and the number of steps done."""

    def __init__(
        self, state: Any, lanes: Sequence[Lane], program: Program, *, first: int, seconds: float, stop: StopRequest
    ):
        self.state, self.lanes, self.program, self.stop = state, lanes, program, stop
        self.experiment = lanes[0].setup.experiment
        self.number = self.first = first
        logs = [lane.log for lane in lanes]
        self.meter = Meter(self.experiment, logs, seconds=seconds, skipped=self._skipped, broken=self._broken)
        # The steps of new shapes: what compiles, and opens the data, takes its time.
        self._new_steps = {first, *(start for start, _ in self.experiment.data.train_sizes)}
        for lane in lanes:
            lane.saved = first if first in lane.checkpoints.steps() else None

    def run(self) -> None:
        log = self.lanes[0].log
        try:
            with log.progress(self.experiment.num_steps, self.first):
                try:
                    with jax.transfer_guard_host_to_device('disallow'), Watchdog(log) as watchdog:
                        self._train(watchdog)
                    self._remember()
                    with log.working('saving the last step'):
                        self._save(last=True)
                except Stopped as stopped:
                    self._save(last=True)
                    raise Stopped(stopped.signal_number, SAVED.format(self.number)) from None
        except NotFinite as error:  # of the only run
            raise self._explained(self.lanes[0], error) from error
        for lane in self.lanes:
            if lane.num_skipped:
                lane.log.say(f'{lane.num_skipped} steps were skipped because they were not finite')

    def _train(self, watchdog: Watchdog) -> None:
        while self.number < self.experiment.num_steps and self._running():
            with watchdog.resting():
                self._remember()
                self._evaluate()
                self._save()
            self.stop.poll('', step=self.number)
            if not self._running():
                break
            with self.meter.waiting(), self._told('reading the first images'):
                batch = self._batch()
            with self._told('compiling the training step'):
                self.state, metrics = self.program.step(self.state, batch)
            self.number += 1
            self.meter.add(self.number, metrics)
            watchdog.beat()

    def _told(self, words: str) -> AbstractContextManager[Any]:
        """Around what only the first of many steps waits for: says so there."""
        return self.lanes[0].log.working(words) if self.number in self._new_steps else contextlib.nullcontext()

    def _running(self) -> list[tuple[int, Lane]]:
        return [(run, lane) for run, lane in enumerate(self.lanes) if lane.diverged is None and lane.ended is None]

    def _batch(self) -> Any:
        try:
            return self.program.batch(self.number)
        except (OSError, LookupError, TypeError, ValueError) as error:  # of a source; JAX has errors of its own
            if isinstance(error, CnnJaxError):
                raise
            check_shortage(error)
            raise DataError(
                f'the batch of step {self.number + 1} cannot be read: {type(error).__name__}: {error}; '
                'look at the data set, or run --mode=prepare'
            ) from error

    def _remember(self) -> None:
        for run, lane in self._running():
            if lane.history is not None and self.number in lane.history.wanted:
                lane.remember(self.number, self.program.state_of(self.state, run))

    def _evaluate(self) -> None:
        for run, lane in self._running():
            if due(self.number, lane.setup.experiment.evaluate_every):
                if (self.number, lane.split) not in lane.evaluated:
                    self._evaluate_run(run, lane)
                begin = time.monotonic()
                self._choose(run, lane)
                self.meter.pause(time.monotonic() - begin)

    def _evaluate_run(self, run: int, lane: Lane) -> None:
        experiment = lane.setup.experiment
        self.meter.flush()
        if lane.diverged is not None:
            return
        begin, seconds = time.monotonic(), self.meter.seconds
        state = self.program.state_of(self.state, run)
        found = lane.setup.evaluate_state(state, self.number, lane.feed, lane.split)
        lane.record(self.number, seconds, found)
        for split, evaluation in found.items():
            words = experiment.task.line(split, evaluation.summary)
            lane.log.say(f'step {self.number}/{experiment.num_steps}  {words}')
        if lane.choice is not None:
            lane.choice.offer(self.number, found[lane.split].summary)
        self.meter.pause(time.monotonic() - begin)

    def _choose(self, run: int, lane: Lane) -> None:
        """Saves a state whose evaluation is the best so far; ends a run whose patience is at an end."""
        choice = lane.choice
        if choice is None or lane.diverged is not None:
            return
        if choice.step == self.number and not choice.is_saved:
            with self._failing(lane, last=False):
                choice.save(self.number, self.program.state_of(self.state, run), lane.checkpoints.steps())
        if choice.exhausted:
            self._save_run(run, lane, last=True)
            lane.remember(self.number, self.program.state_of(self.state, run))
            lane.ended = self.number
            self.meter.end(run)
            lane.log.say(f'ended at step {self.number} by patience: no evaluation is better than that of {choice.step}')

    def _save(self, *, last: bool = False) -> None:
        """Saves what is due in the background, or with `last` all runs before it returns."""

        def wanted() -> list[tuple[int, Lane]]:
            found = self._running()
            return [(run, lane) for run, lane in found if last or due(self.number, lane.setup.experiment.save_every)]

        if wanted():
            self.meter.flush()  # which may end a run
        for run, lane in wanted():
            self._save_run(run, lane, last=last)

    def _save_run(self, run: int, lane: Lane, *, last: bool) -> None:
        """An error of the save before shows here too."""
        with self._failing(lane, last and self.number == lane.saved):
            lane.checkpoints.wait()
        if self.number != lane.saved:
            state = self.program.state_of(self.state, run)
            broken = not_finite.first_broken(state)
            if broken:
                return self._broken(run, NotFinite(self.number, f'{broken} is no longer finite after the update'))
            with self._failing(lane, last):
                lane.checkpoints.save(self.number, state, note={'seconds': self.meter.seconds})
                lane.saved = self.number
        if last:
            lane.checkpoints.wait()
        return None

    @contextlib.contextmanager
    def _failing(self, lane: Lane, last: bool) -> Iterator[None]:
        """Around a save: its failure ends the run, or is a warning where the experiment says so; never of the last."""
        try:
            yield
        except StorageError as error:
            if last or lane.setup.experiment.on_save_error == 'stop':
                raise
            lane.saved = None
            lane.log.say(f'warning: {error}; training goes on without it')

    def _skipped(self, run: int, number: int, what: str) -> None:
        lane = self.lanes[run]
        lane.num_skipped += 1
        if lane.num_skipped <= MOST_EXPLAINED:
            where = lane.replay.explain(self.program.state_of(self.state, run), number)
            lane.log.say(f'warning: step {number} is skipped: {what}{where}')
        elif lane.num_skipped == MOST_EXPLAINED + 1:
            lane.log.say('warning: more steps are skipped; they are only counted from here on')

    def _broken(self, run: int, error: NotFinite) -> None:
        """Ends the only run; of several the others go on."""
        if len(self.lanes) == 1:
            raise error
        self.lanes[run].diverged = self._explained(self.lanes[run], error)

    def _explained(self, lane: Lane, error: NotFinite) -> DivergedError:
        with contextlib.suppress(StorageError):
            lane.checkpoints.wait()
        steps = lane.checkpoints.steps()
        good = f'the last good checkpoint is step {steps[-1]}' if steps else 'no checkpoint was saved before it'
        if len(self.lanes) == 1:
            self.state = None  # what diverged need not stay on the devices beside the other
        where = '' if error.skipped else lane.replay.find(error.step)
        return DivergedError(f'training diverged: {error}{where}; {good}; lower the learning rate, or look at the data')
