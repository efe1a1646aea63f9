"""Training: the assembly of a run, and its loop: when to step, log, evaluate and save. Nothing numerical."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnn_jax import parallel, restore
from cnn_jax.checkpoint import Checkpoints
from cnn_jax.errors import DivergedError
from cnn_jax.evaluate import Evaluation, evaluate
from cnn_jax.experiment import Experiment
from cnn_jax.feed import Feed, open_feed
from cnn_jax.log import Log, duration
from cnn_jax.meter import Meter, NotFinite
from cnn_jax.steps import TrainState
from cnn_jax.stop import Stopped, StopRequest

SAVED = 'saved at step {}; run the same command to go on'


class Tools(NamedTuple):
    """What the loop calls.

    Attributes:
        step: `(state, batch) -> (state, metrics)` from `parallel.map_step`; donates the state.
        batch: `step -> batch` on the devices, a pure function.
        evaluate: `state -> Evaluation`.
        checkpoints: where the state is saved.
        log: who is told.
        stop: whether a signal has come.
    """

    step: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]
    batch: Callable[[int], Any]
    evaluate: Callable[[TrainState], Evaluation]
    checkpoints: Checkpoints
    log: Log
    stop: StopRequest


class Trained(NamedTuple):
    """A finished run: its last state, what it does on the test split, the seconds it was trained for, and its data."""

    state: TrainState
    evaluation: Evaluation
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
    mode: parallel.Mode = 'mapped',
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
        mode: how the step is mapped over the devices.
        eval_batch_size: global, any number; None: the training batch size.
        init_from: work folder of another run whose variables a new run starts from.
    """
    mesh = parallel.make_mesh()
    parallel.check_divides(experiment.data.batch_size, mesh)
    checkpoints = Checkpoints(workdir / 'checkpoints', keep=experiment.keep)
    like = restore.abstract_state(experiment, mesh)  # finds shapes that do not fit before anything is opened
    feed = open_feed(experiment.data, data_dir=data_dir, seed=seed, mesh=mesh)
    for split in ('train', 'test'):
        log.say(feed.describe(split))
    stop.poll('stopped before the first step; run the same command to start')
    state, seconds = restore.start_or_resume(experiment, checkpoints, like, seed=seed, init_from=init_from, log=log)

    eval_step = parallel.map_eval(experiment.eval_step(), mesh, mode=mode)
    eval_batch_size = eval_batch_size or experiment.data.batch_size

    def test(state: TrainState) -> Evaluation:
        batches = feed.test(eval_batch_size)
        return evaluate(eval_step, state.variables, batches, num_classes=experiment.data.num_classes, poll=poll)

    def poll() -> None:
        stop.poll(SAVED.format(experiment.num_steps))  # true of the last evaluation; `fit` saves in the ones before

    tools = Tools(
        step=parallel.map_step(experiment.train_step(), mesh, mode=mode),
        batch=feed.train,
        evaluate=test,
        checkpoints=checkpoints,
        log=log,
        stop=stop,
    )
    begin, first = time.monotonic(), int(jax.device_get(state.step))
    evaluated = log.cut_back(first)
    try:
        state, seconds = fit(state, experiment, tools, seconds=seconds, evaluated=evaluated)
    finally:
        checkpoints.close()
    log.say(f'trained {experiment.num_steps - first} steps in {duration(time.monotonic() - begin)}; evaluating')
    evaluation = test(state)
    if experiment.num_steps not in evaluated:
        log.metrics(experiment.num_steps, 'test', seconds, **evaluation.summary)
    return Trained(state, evaluation, seconds, feed)


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
        DivergedError: the loss or the gradient is not finite.
        StorageError: a checkpoint cannot be written.
    """
    step = start = int(jax.device_get(state.step))
    saved = start if start in tools.checkpoints.steps() else None
    meter = Meter(experiment, tools.log, seconds=seconds)

    def save() -> None:
        nonlocal saved
        meter.flush()
        if step != saved:
            tools.checkpoints.save(step, state, note={'seconds': meter.seconds})
            saved = step

    try:
        with tools.log.progress(experiment.num_steps, start), jax.transfer_guard_host_to_device('disallow'):
            try:
                while step < experiment.num_steps:
                    if due(step, experiment.evaluate_every) and step not in evaluated:
                        meter.flush()
                        meter.pause(_evaluate(step, state, meter.seconds, experiment, tools))
                    if due(step, experiment.save_every):
                        save()
                    tools.stop.poll('', step=step)
                    with meter.waiting():
                        batch = tools.batch(step)
                    state, metrics = tools.step(state, batch)
                    step += 1
                    meter.add(step, metrics)
                save()
            except Stopped as stopped:
                save()
                tools.checkpoints.wait()
                raise Stopped(stopped.signal_number, SAVED.format(step)) from None
            tools.checkpoints.wait()
    except NotFinite as error:
        raise _diverged(error, tools.checkpoints) from error
    return state, meter.seconds


def due(step: int, every: int | None) -> bool:
    """Whether something that happens every so many steps happens at this one; never at step 0."""
    return every is not None and step > 0 and step % every == 0


def _diverged(error: NotFinite, checkpoints: Checkpoints) -> DivergedError:
    checkpoints.wait()
    steps = checkpoints.steps()
    good = f'the last good checkpoint is step {steps[-1]}' if steps else 'no checkpoint was saved before it'
    return DivergedError(f'training diverged: {error}; {good}; lower the learning rate, or look at the data')


def _evaluate(step: int, state: TrainState, seconds: float, experiment: Experiment, tools: Tools) -> float:
    """Evaluates, logs and says the result; how long that took."""
    begin = time.monotonic()
    summary = tools.evaluate(state).summary
    tools.log.metrics(step, 'test', seconds, **summary)
    tools.log.say(
        f'step {step}/{experiment.num_steps}  test accuracy {summary["top1"]:.2%}  test loss {summary["loss"]:.4f}'
    )
    return time.monotonic() - begin
