"""A whole run: the work folder is claimed, the experiment trained and evaluated, the report written."""

import json
import time
import traceback
from pathlib import Path
from typing import Any

from cnn_jax.devices import mapping, processes
from cnn_jax.devices.stop import StopRequest
from cnn_jax.drawing.words import duration
from cnn_jax.experiment import Loaded
from cnn_jax.tasks.task import unread_lines
from cnn_jax.training.setup import Setup
from cnn_jax.training.train import Trained, train
from cnn_jax.workdir.claim import claimed
from cnn_jax.workdir.config import COMPARED, describe_run
from cnn_jax.workdir.log import Log, read_metrics

PICTURES_AFTER = 3.0  # seconds of training; drawing takes about two


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
) -> None:
    """Trains in a work folder (a new run, or the one that is there), evaluates, writes the report."""
    begin = time.monotonic()
    setup = Setup(loaded.experiment, data_dir=data_dir, parallel=parallel, eval_batch_size=eval_batch_size)
    mapping.check_divides(loaded.experiment.data.batch_size, setup.mesh)
    config = describe_run(loaded, seed=seed, parallel=parallel, data_dir=data_dir, init_from=init_from)
    processes.check_same_everywhere(json.dumps([config[name] for name in COMPARED]))
    with claimed(workdir, config) as changed:
        for line in [processes.describe_devices(), f'{loaded.name} in {workdir}', *changed]:
            log.say(line)
        result = train(setup, seed=seed, workdir=workdir, log=log, stop=stop, init_from=init_from)
        report = _write_report(loaded, setup, config, result, workdir, log)
    log.say('')
    for split, outcome in result.evaluations.items():
        for line in loaded.experiment.task.outcome(split, outcome):
            log.say(line)
        for line in unread_lines(outcome.unread, len(outcome.results['index'])):
            log.say(line)
    log.say(f'time           {duration(time.monotonic() - begin)}, of which training {duration(result.seconds)}')
    if report is not None:
        log.say(f'report         {report}')


def _write_report(
    loaded: Loaded, setup: Setup, config: dict[str, Any], result: Trained, workdir: Path, log: Log
) -> Path | None:
    """Writes the page of the run; a run whose page fails is still a good run."""
    from cnn_jax.report import Run, augmented, write_report
    from cnn_jax.visualize.engine.draw import draw_at_the_end

    variables = mapping.fetch(result.state.variables)  # by all processes: each may hold a piece
    if not processes.is_main_process():
        return None
    task, results = loaded.experiment.task, result.evaluations['test'].results
    worst = task.worst(results)
    rows = results['index'][worst]
    run = Run(
        workdir=workdir,
        task=task,
        config=config,
        metrics=read_metrics(workdir),
        results=results,
        worst=worst,
        images=result.feed.images('test', rows),
        model=loaded.experiment.model,
        variables=variables,
        image_shape=loaded.experiment.data.image_shape,
        input_shape=loaded.experiment.input_shape,
    )
    try:
        augmented.write(
            loaded.experiment, setup.step, result.feed.source('train'), workdir / 'figures', seed=config['seed']
        )
        if result.seconds >= PICTURES_AFTER:
            about = {'experiment': loaded.name, 'options': loaded.options, 'workdir': str(workdir)}
            left_out = draw_at_the_end(
                loaded.experiment.model,
                variables,
                task=task,
                data=loaded.experiment.data,
                preprocess=loaded.experiment.preprocess,
                about={**about, 'step': loaded.experiment.num_steps},
                source=result.feed.source('test'),
                rows=rows,
                folder=workdir / 'figures',
            )
            for line in left_out:
                log.note(line)
        return write_report(run)
    except Exception as error:
        log.say(f'warning: the report could not be written: {error}; everything else is in {workdir}')
        log.note(''.join(traceback.format_exception(error)))
        return None
