"""Training a run from its first or newest state to its last step and evaluation."""

import time
from pathlib import Path
from typing import NamedTuple

import jax

from cnn_jax.devices import processes
from cnn_jax.devices.feed import Feed
from cnn_jax.devices.stop import StopRequest
from cnn_jax.drawing.words import duration
from cnn_jax.steps.state import TrainState
from cnn_jax.tasks.task import Evaluation
from cnn_jax.training import restore
from cnn_jax.training.loop import SAVED, Lane, Program, fit
from cnn_jax.training.replay import Replay
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.seals import seal_run


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        state: the last.
        evaluations: by name, see `Setup.evaluate_state`; 'test' is always there.
        seconds: of training, over all attempts.
        feed: its data.
    """

    state: TrainState
    evaluations: dict[str, Evaluation]
    seconds: float
    feed: Feed


def train(
    setup: Setup, *, seed: int, workdir: Path, log: Log, stop: StopRequest, init_from: Path | None = None
) -> Trained:
    """Trains an experiment in a work folder, from its latest valid checkpoint if there is one, and evaluates it.

    Args:
        setup: the experiment on the devices.
        seed: of parameters, order, augmentation and dropout.
        workdir: an existing folder that no other run uses (see `workdir.claim`).
        log: of the work folder.
        stop: whether a signal has come.
        init_from: work folder of another run, or a weights file, whose variables a new run starts from.

    Raises:
        Stopped: a signal came; the state is saved.
        DivergedError: the loss, the gradient or a parameter is not finite.
    """
    num_steps = setup.experiment.num_steps
    lane, state, seconds = open_lane(setup, seed=seed, workdir=workdir, log=log, stop=stop, init_from=init_from)
    begin, first = time.monotonic(), int(jax.device_get(state.step))
    program = Program(setup.train_step, lane.feed.train)
    try:
        state, seconds = fit(state, [lane], program, first=first, seconds=seconds, stop=stop)
    finally:
        lane.checkpoints.close()
    log.say(f'trained {num_steps - first} steps in {duration(time.monotonic() - begin)}')
    return Trained(state, evaluate_last(lane, state, seconds), seconds, lane.feed)


def open_lane(
    setup: Setup, *, seed: int, workdir: Path, log: Log, stop: StopRequest, init_from: Path | None = None
) -> tuple[Lane, TrainState, float]:
    """A run ready for the loop, the state that it goes on from, and the seconds that it was trained for."""
    checkpoints = Checkpoints(workdir / 'checkpoints', keep=setup.experiment.keep)
    setup.working = log.working
    with log.working('tracing the model'):
        _ = setup.like, setup.train_step  # what does not fit is found before anything is opened
    feed = setup.open_feed(seed)
    for split in ('train', 'test'):
        with log.working(f'opening the {split} images'):
            note = feed.size_note(split)
        log.say(note)
    with log.working('sealing the images'):
        changed = processes.main_process_first(lambda: seal_run(workdir, feed.seals())) or []
    for line in changed:
        log.say(line)
    stop.poll('stopped before the first step; run the same command to start')
    # True of the last evaluation; `fit` saves in the ones before.
    setup.poll = lambda: stop.poll(SAVED.format(setup.experiment.num_steps))

    def start(log: Log) -> tuple[TrainState, float]:
        with log.working('preparing the first state'):
            return restore.start_or_resume(setup, checkpoints, seed=seed, init_from=init_from, log=log)

    state, seconds = start(log)
    replay = Replay(setup, feed, lambda: start(Log(None, enabled=False))[0], log)
    evaluated = log.cut_back(int(jax.device_get(state.step)))
    return Lane(setup, feed, checkpoints, log, replay, evaluated), state, seconds


def evaluate_last(lane: Lane, state: TrainState, seconds: float) -> dict[str, Evaluation]:
    """The evaluations of a run's last state, logged where they are not yet."""
    num_steps = lane.setup.experiment.num_steps
    evaluations = lane.setup.evaluate_state(state, num_steps, lane.feed)
    if num_steps not in lane.evaluated:
        for split, evaluation in evaluations.items():
            lane.log.metrics(num_steps, split, seconds, **evaluation.summary)
    return evaluations
