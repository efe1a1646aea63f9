"""A whole run: the work folder is claimed, the experiment trained and evaluated, the report written."""

import json
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from cnn_jax.devices import mapping, processes
from cnn_jax.devices.stop import StopRequest
from cnn_jax.drawing.words import duration
from cnn_jax.experiment import Experiment, Loaded
from cnn_jax.tasks.results import unread_lines
from cnn_jax.training import shown
from cnn_jax.training.setup import Setup
from cnn_jax.training.train import Trained, train
from cnn_jax.workdir import openings
from cnn_jax.workdir.claim import claimed
from cnn_jax.workdir.config import COMPARED, describe_run, existing_config
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.progress import Task

if TYPE_CHECKING:
    from cnn_jax.report import Run

PICTURES_FROM = 100  # steps; a shorter run is a trial, and drawing takes longer than it


def train_in_folder(
    loaded: Loaded,
    *,
    workdir: Path,
    seed: int,
    data_dir: Path,
    parallel: mapping.Parallel,
    eval_batch_size: int | None,
    init_from: Path | None,
    stop: StopRequest,
    log: Log,
    pictures: bool = True,
    page: bool = True,
) -> Trained:
    """Trains in a work folder (a new run, or the one that is there), evaluates, writes the report.

    pictures: drawn for a run of `PICTURES_FROM` steps or more; False: of the report only what costs nothing, its tables
    and curves. page: False: no report at all.
    """
    begin = time.monotonic()
    setup = Setup(loaded.experiment, data_dir=data_dir, parallel=parallel, eval_batch_size=eval_batch_size)
    mapping.check_divides(loaded.experiment.data.batch_size, setup.mesh)
    config = describe_run(loaded, seed=seed, parallel=parallel, data_dir=data_dir, init_from=init_from)
    processes.check_same_everywhere(json.dumps([config[name] for name in COMPARED]))
    with claimed(workdir, config) as changed:
        for line in [processes.describe_devices(), f'{loaded.name} in {workdir}', *changed]:
            log.say(line)
        result = train(setup, seed=seed, workdir=workdir, log=log, stop=stop, init_from=init_from)
        report = _write_report(loaded, setup, result, workdir, log, pictures=pictures) if page else None
    log.say('')
    for split, outcome in result.evaluations.items():  # the test split comes last
        for line in loaded.experiment.task.outcome(split, outcome):
            log.say(line)
        for line in unread_lines(outcome.unread, len(outcome.results['index'])):
            log.say(line)
    log.say(openings.in_words(existing_config(workdir)))
    before = f'; {duration(result.earlier)} before it stopped' if result.earlier else ''
    took, trained = time.monotonic() - begin, result.seconds - result.earlier
    log.say(f'time           {duration(took)}, of which training {duration(trained)}{before}')
    if report is not None:
        log.say(f'report         {report}')
    if report is not None and pictures and not draws(loaded.experiment):
        log.say(f'               --mode=report --workdir={workdir} writes its microscope, which short runs are without')
    return result


def draws(experiment: Experiment) -> bool:
    """Whether a run ends with pictures: by what it is, not by how long it took, so that it always leaves the same."""
    return experiment.num_steps >= PICTURES_FROM


def _write_report(
    loaded: Loaded, setup: Setup, result: Trained, workdir: Path, log: Log, *, pictures: bool
) -> Path | None:
    """Writes the page of the run; a run whose page fails is still a good run."""
    from cnn_jax.report import write_report
    from cnn_jax.visualize.engine.draw import AT_THE_END

    variables = mapping.fetch(result.state.variables)  # by all processes: each may hold a piece
    if not processes.is_main_process():
        return None
    experiment, results = loaded.experiment, result.evaluations['test'].results
    run = shown.as_run(experiment, workdir, variables, results, result.feed)
    methods = AT_THE_END if pictures and draws(experiment) else ()
    try:
        with log.working('drawing', pictures + len(methods) + 1) as told:
            if pictures:
                told.next('training images')
                _draw_augmented(loaded, setup, result, run)
                run = shown.with_cases(run, experiment, result.feed)
            if methods:
                _draw_pictures(loaded, result, run, log, told)
            told.next('the page')
            look = None
            if methods:
                look = shown.look_of(
                    experiment, result.feed, 'test', step=result.step, workdir=workdir, costly=False,
                    variables=variables, results=results,
                )  # fmt: skip
            return write_report(run, look)
    except Exception as error:
        reason = f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
        log.say(f'warning: the report could not be written: {reason}; everything else is in {workdir}')
        log.note(''.join(traceback.format_exception(error)))
        return None


def _draw_augmented(loaded: Loaded, setup: Setup, result: Trained, run: 'Run') -> None:
    from cnn_jax.report import augmented

    source, folder = result.feed.source('train'), run.workdir / 'figures'
    augmented.write(loaded.experiment, setup.step, source, folder, seed=run.config['seed'])


def _draw_pictures(loaded: Loaded, result: Trained, run: 'Run', log: Log, told: Task) -> None:
    """The pictures of the methods that are cheap; what is left out is noted in the log."""
    from cnn_jax.visualize.engine.draw import draw_at_the_end

    experiment = loaded.experiment
    about = {'experiment': loaded.name, 'options': loaded.options, 'workdir': str(run.workdir)}
    left_out = draw_at_the_end(
        experiment.model,
        run.variables,
        task=experiment.task,
        data=experiment.data,
        preprocess=experiment.preprocess,
        about={**about, 'step': result.step},
        source=result.feed.source('test'),
        rows=run.results['index'][run.worst],
        folder=run.workdir / 'figures',
        told=told.next,
    )
    for line in left_out:
        log.note(line)
