"""What each mode of the command line does, once the names are resolved."""

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import flax.linen as nn

from cnn_jax import evaluate as evaluation
from cnn_jax import parallel, restore, workdir
from cnn_jax import train as training
from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.experiment import Loaded, load
from cnn_jax.feed import open_feed
from cnn_jax.lock import WorkdirLock
from cnn_jax.log import Log, duration, read_metrics
from cnn_jax.stop import StopRequest
from cnn_jax.visualize_mode import visualize

__all__ = ['describe', 'evaluate', 'parity', 'prepare', 'train', 'verify', 'visualize']


def train(
    loaded: Loaded,
    *,
    path: Path,
    seed: int,
    data_dir: Path,
    mapping: parallel.Mode,
    eval_batch_size: int | None,
    init_from: Path | None,
    stop: StopRequest,
    log: Log,
) -> None:
    """Trains in the work folder `path` (a new run, or the one that is there), evaluates, writes the report."""
    begin = time.monotonic()
    experiment = loaded.experiment
    parallel.check_divides(experiment.data.batch_size, parallel.make_mesh())
    config = workdir.describe_run(loaded, seed=seed, parallel=mapping, data_dir=data_dir)
    parallel.check_same_everywhere(json.dumps([config[name] for name in workdir.COMPARED]))
    lock = WorkdirLock(path)
    try:
        changed = parallel.main_process_first(lambda: _claim(path, config, lock)) or []
        for line in [parallel.describe_devices(), f'{loaded.name} in {path}', *changed]:
            log.say(line)
        result = training.train(
            experiment,
            workdir=path,
            seed=seed,
            data_dir=data_dir,
            log=log,
            stop=stop,
            mode=mapping,
            eval_batch_size=eval_batch_size,
            init_from=init_from,
        )
        report = _write_report(loaded, config, result, path, log)
    finally:
        lock.release()
    log.say('')
    rank = result.evaluation.results['rank']
    log.say(f'test accuracy {evaluation.share(int((rank < 1).sum()), len(rank))}')
    log.say(f'test loss      {result.evaluation.summary["loss"]:.4f}')
    log.say(f'time           {duration(time.monotonic() - begin)}, of which training {duration(result.seconds)}')
    if report is not None:
        log.say(f'report         {report}')


def _claim(path: Path, config: dict[str, Any], lock: WorkdirLock) -> list[str]:
    """Makes the folder this run's own, or refuses; lines that say what changed since the last start."""
    workdir.make(path)
    lock.acquire()
    saved = workdir.read_config(path)
    changed = workdir.check_same_run(saved, config, path) if saved else []
    workdir.write_config(path, config if saved is None else {**config, 'started': saved['started']})
    return changed


def _write_report(
    loaded: Loaded, config: dict[str, Any], result: training.Trained, path: Path, log: Log
) -> Path | None:
    """Writes the page of the run; a run whose page fails is still a good run."""
    from cnn_jax.report import Run, worst_mistakes, write_report

    if not parallel.is_main_process():
        return None
    mistakes = worst_mistakes(result.evaluation.results)
    run = Run(
        workdir=path,
        config=config,
        metrics=read_metrics(path),
        results=result.evaluation.results,
        mistakes=mistakes,
        images=result.feed.images('test', mistakes),
        model=loaded.experiment.model,
        variables=parallel.fetch(result.state.variables),
        image_shape=loaded.experiment.data.image_shape,
    )
    try:
        return write_report(run)
    except Exception as error:
        log.say(f'warning: the report could not be written: {error}; everything else is in {path}')
        log.note(''.join(traceback.format_exception(error)))
        return None


def evaluate(
    loaded: Loaded,
    *,
    path: Path | None,
    init_from: Path | None,
    data_dir: Path,
    mapping: parallel.Mode,
    eval_batch_size: int | None,
    stop: StopRequest,
    log: Log,
) -> None:
    """Prints what the latest checkpoint of a run, or weights from elsewhere, do on the test split."""
    experiment, mesh = loaded.experiment, parallel.make_mesh()
    variables, _ = restore.trained_variables(loaded, path, init_from, mesh, log)
    feed = open_feed(experiment.data, data_dir=data_dir, seed=0, mesh=mesh)
    result = evaluation.evaluate(
        parallel.map_eval(experiment.eval_step(), mesh, mode=mapping),
        variables,
        feed.test(eval_batch_size or experiment.data.batch_size),
        num_classes=experiment.data.num_classes,
        poll=lambda: stop.poll('stopped during evaluation'),
    )
    log.say(evaluation.describe(result, experiment.data.class_names))


def parity(loaded: Loaded, *, path: Path | None, init_from: Path | None, reference: str | None, log: Log) -> None:
    """Compares each layer's activations with a stored reference; CnnJaxError if one differs."""
    from cnn_jax.weights import parity as comparison

    if reference is None:
        raise CnnJaxError('--mode=parity needs --reference=FILE.npz: images, and activations by layer name')
    variables, _ = restore.trained_variables(loaded, path, init_from, parallel.make_mesh(1), log)
    outcome = comparison.compare(loaded.experiment.model, parallel.fetch(variables), reference)
    log.say(comparison.describe(outcome))
    if outcome.first is not None:
        raise CnnJaxError(f'{loaded.name} leaves the reference at {outcome.first}; the lines above say what was tried')


def describe(loaded: Loaded, *, formula: bool, variant: str | None, log: Log) -> None:
    """Prints the table of layers, or what differs from another variant of the model; opens no data."""
    from cnn_jax.describe import format_difference, format_table, layer_table

    model, data = loaded.experiment.model, loaded.experiment.data
    log.say(f'{loaded.name}: {model.__class__.__name__} on {data.name}')
    table = layer_table(model, data.image_shape)
    if variant is None:
        log.say(format_table(table, formula=formula))
        return
    twin = _twin(loaded, variant)
    tables = (table, layer_table(twin, data.image_shape))
    log.say(format_difference((str(loaded.options.get('variant', 'this')), variant), (model, twin), tables))


def _twin(loaded: Loaded, variant: str) -> nn.Module:
    """The same experiment's model in another variant: by its option `variant`, else by VARIANTS of the model's file."""
    if 'variant' in loaded.options:
        return load(loaded.name, {**loaded.options, 'variant': variant}).experiment.model
    variants = getattr(sys.modules[type(loaded.experiment.model).__module__], 'VARIANTS', {})
    if variant not in variants:
        raise CnnJaxError(unknown('variant', variant, variants))
    return variants[variant](num_classes=loaded.experiment.data.num_classes)


def prepare(loaded: Loaded, *, data_dir: Path, log: Log) -> None:
    """Builds or checks the data set of an experiment below `data_dir`."""
    loaded.experiment.data.prepare(data_dir, log.say)


def verify(loaded: Loaded, *, seed: int, data_dir: Path, log: Log) -> None:
    """Tries the promises on an experiment; CnnJaxError if one does not hold."""
    from cnn_jax import verify as verification

    log.say(parallel.describe_devices())
    checks = verification.verify(loaded.experiment, seed=seed, data_dir=data_dir)
    verification.describe(checks, log.say)
    failed = [check.name for check in checks if not check.holds]
    if failed:
        raise CnnJaxError(f'{loaded.name} breaks a promise: {", ".join(failed)}; see the lines above')
