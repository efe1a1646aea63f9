"""Training: the assembly of a run from its parts, from the first look at the devices to the last evaluation."""

import time
from pathlib import Path
from typing import NamedTuple

import jax

from cnn_jax.devices import mapping
from cnn_jax.devices.feed import Feed, open_feed
from cnn_jax.devices.stop import StopRequest
from cnn_jax.drawing.words import duration
from cnn_jax.evaluation.exam import make_exam
from cnn_jax.experiment import Experiment
from cnn_jax.steps.state import TrainState
from cnn_jax.tasks.task import Evaluation
from cnn_jax.training import not_finite, restore
from cnn_jax.training.loop import SAVED, Tools, fit
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.log import Log


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        state: the last.
        evaluations: by name, see `exam`; 'test' is always there.
        seconds: of training, over all attempts.
        feed: its data.
    """

    state: TrainState
    evaluations: dict[str, Evaluation]
    seconds: float
    feed: Feed


def train(
    experiment: Experiment,
    *,
    workdir: Path,
    seed: int,
    data_dir: Path,
    log: Log,
    stop: StopRequest,
    parallel: mapping.Parallel = 'mapped',
    eval_batch_size: int | None = None,
    init_from: Path | None = None,
) -> Trained:
    """Trains an experiment in a work folder, from its latest valid checkpoint if there is one, and evaluates it.

    Args:
        workdir: an existing folder that no other run uses (see `lock`).
        seed: of parameters, order, augmentation and dropout.
        data_dir: where the data set lies.
        log: of the work folder.
        stop: listens for signals.
        parallel: how the step is mapped over the devices.
        eval_batch_size: global, any number; None: the training batch size.
        init_from: work folder of another run whose variables a new run starts from.
    """
    mesh = mapping.make_mesh()
    mapping.check_divides(experiment.data.batch_size, mesh)
    checkpoints = Checkpoints(workdir / 'checkpoints', keep=experiment.keep)
    like = restore.abstract_state(experiment, mesh, parallel)  # finds shapes that do not fit before anything is opened
    feed = open_feed(experiment.data, data_dir=data_dir, seed=seed, mesh=mesh)
    for split in ('train', 'test'):
        log.say(feed.describe(split))
    stop.poll('stopped before the first step; run the same command to start')

    def start(log: Log) -> tuple[TrainState, float]:
        return restore.start_or_resume(experiment, checkpoints, like, seed=seed, init_from=init_from, log=log)

    def explain(state: TrainState, step: int) -> str:
        origin = not_finite.find_origin(experiment, mesh, state, feed.train(step - 1))
        log.note(f'the batch of step {step} is images {origin.batch.tolist()}')
        return str(origin)

    state, seconds = start(log)

    def poll() -> None:
        stop.poll(SAVED.format(experiment.num_steps))  # true of the last evaluation; `fit` saves in the ones before

    exam = make_exam(
        experiment, feed, mesh, parallel=parallel, batch_size=eval_batch_size or experiment.data.batch_size, poll=poll
    )
    tools = Tools(
        step=mapping.map_step(experiment.train_step(), mesh, parallel=parallel),
        batch=feed.train,
        evaluate=exam,
        checkpoints=checkpoints,
        log=log,
        stop=stop,
        again=lambda: start(Log(None, enabled=False))[0],
        explain=explain,
    )
    begin, first = time.monotonic(), int(jax.device_get(state.step))
    evaluated = log.cut_back(first)
    try:
        state, seconds = fit(state, experiment, tools, seconds=seconds, evaluated=evaluated)
    finally:
        checkpoints.close()
    log.say(f'trained {experiment.num_steps - first} steps in {duration(time.monotonic() - begin)}; evaluating')
    evaluations = exam(state, experiment.num_steps)
    if experiment.num_steps not in evaluated:
        for split, evaluation in evaluations.items():
            log.metrics(experiment.num_steps, split, seconds, **evaluation.summary)
    return Trained(state, evaluations, seconds, feed)
