"""Training a run from its first or newest state to its last step and evaluation."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnn_jax.devices import processes
from cnn_jax.devices.feed import Feed
from cnn_jax.devices.stop import StopRequest
from cnn_jax.drawing.words import duration
from cnn_jax.experiment import Experiment
from cnn_jax.steps.state import TrainState
from cnn_jax.tasks.results import Evaluation
from cnn_jax.training import restore
from cnn_jax.training.choice import Choice, best_checkpoints, idle_patience
from cnn_jax.training.lane import Lane
from cnn_jax.training.loop import SAVED, Program, fit
from cnn_jax.training.replay import Replay
from cnn_jax.training.setup import Setup
from cnn_jax.workdir import outcome
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.history import History
from cnn_jax.workdir.history import steps_of as history_steps
from cnn_jax.workdir.identity import identity
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.seals import seal_run


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        state: the last; of a run with patience the best.
        step: after which it is.
        evaluations: by name, see `Setup.evaluate_state`: of the split that choices look at, and, where it was opened,
            'test'.
        seconds: of training, over all attempts.
        feed: its data.
        earlier: seconds, of those, of the attempts before this one.
    """

    state: TrainState
    step: int
    evaluations: dict[str, Evaluation]
    seconds: float
    feed: Feed
    earlier: float = 0.0


def train(
    setup: Setup,
    *,
    seed: int,
    workdir: Path,
    log: Log,
    stop: StopRequest,
    init_from: Path | None = None,
    fold: int | None = None,
    open_test: bool = True,
) -> Trained:
    """Trains an experiment in a work folder, from its latest valid checkpoint if there is one, and evaluates it.

    Args:
        setup: the experiment on the devices.
        seed: of parameters, order, augmentation and dropout.
        workdir: an existing folder that no other run uses (see `workdir.claim`).
        log: of the work folder.
        stop: whether a signal has come.
        init_from: work folder of another run, or a weights file, whose variables a new run starts from.
        fold: of the images that are held out for validation; None: the experiment's.
        open_test: whether the test split is looked at in the end; without a validation split it is.

    Raises:
        Stopped: a signal came; the state is saved.
        DivergedError: the loss, the gradient or a parameter is not finite.
    """
    lane, state, earlier = open_lane(
        setup, seed=seed, workdir=workdir, log=log, stop=stop, init_from=init_from, fold=fold
    )
    begin, first = time.monotonic(), int(jax.device_get(state.step))
    program = Program(setup.train_step, lane.feed.train)
    try:
        state, seconds = fit(state, [lane], program, first=first, seconds=earlier, stop=stop)
        log.say(f'trained {steps_of(lane) - first} steps in {duration(time.monotonic() - begin)}')
        return finish(lane, state, seconds, open_test=open_test)._replace(earlier=earlier)
    finally:
        close(lane)


def open_lane(
    setup: Setup,
    *,
    seed: int,
    workdir: Path,
    log: Log,
    stop: StopRequest,
    init_from: Path | None = None,
    fold: int | None = None,
) -> tuple[Lane, TrainState, float]:
    """A run ready for the loop, the state that it goes on from, and the seconds that it was trained for."""
    checkpoints = Checkpoints(
        workdir / 'checkpoints',
        keep=setup.experiment.keep,
        run=identity(workdir),
        read_back=setup.experiment.read_back,
    )
    setup.working = log.working
    if not checkpoints.steps():
        restore.source_of(setup.experiment, init_from)  # what is missing is said before minutes are spent
    with log.working('tracing the model'):
        _ = setup.like, setup.train_step  # what does not fit is found before anything is opened
    feed = setup.open_feed(seed, fold)
    _open_splits(feed, workdir, log)
    _say_patience(setup.experiment, log)
    stop.poll('stopped before the first step; run the same command to start')
    # True of the last evaluation; `fit` saves in the ones before.
    setup.poll = lambda: stop.poll(SAVED.format(setup.experiment.num_steps))

    def start(log: Log) -> tuple[TrainState, float]:
        with log.working('preparing the first state'):
            return restore.start_or_resume(setup, checkpoints, seed=seed, init_from=init_from, log=log)

    state, seconds = start(log)
    replay = Replay(setup, feed, lambda: start(Log(None, enabled=False))[0], log)
    step = int(jax.device_get(state.step))
    lines = log.cut_back(step)

    lane = Lane(
        workdir,
        setup,
        feed,
        checkpoints,
        log,
        replay,
        choice=_choice(setup.experiment, workdir, lines, step),
        history=_history(setup.experiment, workdir, step),
        evaluated={(line['step'], line['split']) for line in lines},
    )
    return lane, state, seconds


def _open_splits(feed: Feed, workdir: Path, log: Log) -> None:
    """Opens the images of a run, and compares them with those that it began with."""
    for split in feed.data.splits:
        with log.working(f'opening the {split} images'):
            note = feed.size_note(split)
        log.say(note)
    with log.working('sealing the images'):
        changed = processes.main_process_first(lambda: seal_run(workdir, feed.seals())) or []
    for line in changed:
        log.say(line)


def _say_patience(experiment: Experiment, log: Log) -> None:
    """Says where patience was asked for and cannot do anything."""
    patience, every = experiment.patience, experiment.evaluate_every
    if patience is not None and every is not None:
        line = idle_patience(patience, num_steps=experiment.num_steps, evaluate_every=every)
        if line is not None:
            log.say(line)


def _choice(experiment: Experiment, workdir: Path, lines: list[dict[str, Any]], step: int) -> Choice | None:
    """The best evaluation so far of a run that stands at a step; None without a validation split."""
    data = experiment.data
    if data.choosing_split == 'test':
        return None
    best = best_checkpoints(workdir)
    processes.main_process_first(lambda: best.set_aside_after(step))
    evaluations = [line for line in lines if line['split'] == data.choosing_split]
    return Choice(experiment.task.headline, best, evaluations, experiment.patience)


def _history(experiment: Experiment, workdir: Path, step: int) -> History | None:
    """What a run that stands at a step keeps for pictures of its training."""
    history = History(workdir, history_steps(experiment.num_steps, experiment.history) if experiment.history else None)
    processes.main_process_first(lambda: history.cut_back(step))
    return history if experiment.history else None


def steps_of(lane: Lane) -> int:
    """The steps of a run that has left the loop."""
    return lane.setup.experiment.num_steps if lane.ended is None else lane.ended


def close(lane: Lane) -> None:
    """Waits for what is being saved."""
    try:
        lane.checkpoints.close()
    finally:
        if lane.choice is not None:
            lane.choice.checkpoints.close()


def finish(lane: Lane, state: TrainState, seconds: float, *, open_test: bool) -> Trained:
    """Evaluates a run that has left the loop, and takes its best state where it has patience.

    The test split is looked at last, and only where that is asked for, or where there is no other.
    """
    setup, step, choice = lane.setup, steps_of(lane), lane.choice
    if choice is None:
        found = setup.evaluate_state(state, step, lane.feed, 'test')
        lane.record(step, seconds, found)
        return Trained(state, step, found, seconds, lane.feed)
    found = {}
    if lane.ended is None:
        found = setup.evaluate_state(state, step, lane.feed, lane.split)
        if (step, lane.split) not in lane.evaluated:
            choice.offer(step, found[lane.split].summary)
        lane.record(step, seconds, found)
        if choice.step == step and not choice.is_saved:
            choice.save(step, state, lane.checkpoints.steps())
    choice.checkpoints.wait()
    choice.tidy(lane.checkpoints.steps())
    if setup.experiment.patience is not None:
        state, step = _best(lane, choice, state, step)
        if step != steps_of(lane) or not found:
            found = setup.evaluate_state(state, step, lane.feed, lane.split)
        outcome.note(lane.workdir, 'finished', last_step=steps_of(lane), result_step=step)
    if open_test:
        tested = setup.evaluate_state(state, step, lane.feed, 'test')
        lane.record(step, seconds, tested)
        found |= tested
    return Trained(state, step, found, seconds, lane.feed)


def _best(lane: Lane, choice: Choice, state: TrainState, step: int) -> tuple[TrainState, int]:
    """The best state of a run and its step; the last ones where its checkpoint is gone, which is said."""
    if choice.step == step:
        return state, step
    restored = choice.checkpoints.restore_latest_valid(
        lane.setup.like, report=lambda line: lane.log.say(f'warning: {line}')
    )
    if restored is None or restored.step != choice.step:
        lane.log.say(f'warning: the best checkpoint, step {choice.step}, is gone: the result is that of step {step}')
        return state, step
    lane.log.say(f'the result of the run is its best checkpoint, step {restored.step}')
    return restored.state, restored.step
