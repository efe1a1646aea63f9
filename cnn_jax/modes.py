"""What each mode of the command line does, once the names are resolved."""

import json
import shlex
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import flax.linen as nn

from cnn_jax import evaluate as evaluation
from cnn_jax import parallel, restore, workdir
from cnn_jax import train as training
from cnn_jax.ablate.mode import ablate
from cnn_jax.compare.mode import compare
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.experiment import Loaded, function, load
from cnn_jax.feed import open_feed
from cnn_jax.lock import WorkdirLock
from cnn_jax.log import Log, duration, read_metrics
from cnn_jax.options import signature
from cnn_jax.stop import StopRequest
from cnn_jax.visualize_mode import at_the_end as pictures_at_the_end
from cnn_jax.visualize_mode import visualize

PICTURES_AFTER = 3.0  # seconds of training; drawing takes about two

__all__ = [
    'ablate',
    'benchmark',
    'compare',
    'describe',
    'evaluate',
    'parity',
    'prepare',
    'train',
    'verify',
    'visualize',
]


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
    for split, outcome in result.evaluations.items():
        rank = outcome.results['rank']
        log.say(f'{split} accuracy {evaluation.share(int((rank < 1).sum()), len(rank))}')
        log.say(f'{split} loss      {outcome.summary["loss"]:.4f}')
        for line in evaluation.unread_lines(outcome.unread, len(rank)):
            log.say(line)
    log.say(f'time           {duration(time.monotonic() - begin)}, of which training {duration(result.seconds)}')
    if report is not None:
        log.say(f'report         {report}')


def _claim(path: Path, config: dict[str, Any], lock: WorkdirLock) -> list[str]:
    """Makes the folder this run's own, or refuses; lines that say what changed since the last start."""
    workdir.make(path)
    lock.acquire()
    saved = workdir.read_config(path)
    if not workdir.has_begun(path):  # it was stopped by a mistake in its options, perhaps
        saved = None
    changed = workdir.check_same_run(saved, config, path) if saved else []
    workdir.write_config(path, config if saved is None else {**config, 'started': saved['started']})
    return changed


def _write_report(
    loaded: Loaded, config: dict[str, Any], result: training.Trained, path: Path, log: Log
) -> Path | None:
    """Writes the page of the run; a run whose page fails is still a good run."""
    from cnn_jax.report import Run, augmented, worst_mistakes, write_report

    variables = parallel.fetch(result.state.variables)  # by all processes: each may hold a piece
    if not parallel.is_main_process():
        return None
    results = result.evaluations['test'].results
    mistakes = worst_mistakes(results)
    rows = results['index'][mistakes]
    run = Run(
        workdir=path,
        config=config,
        metrics=read_metrics(path),
        results=results,
        mistakes=mistakes,
        images=result.feed.images('test', rows),
        model=loaded.experiment.model,
        variables=variables,
        image_shape=loaded.experiment.data.image_shape,
        input_shape=loaded.experiment.input_shape,
    )
    try:
        augmented.write(loaded.experiment, result.feed.source('train'), path / 'figures', seed=config['seed'])
        if result.seconds >= PICTURES_AFTER:
            source = result.feed.source('test')
            pictures_at_the_end(loaded, variables=variables, source=source, rows=rows, path=path, log=log)
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
    protocols: str | None,
    sets: str | None,
    stop: StopRequest,
    log: Log,
) -> None:
    """Prints what the latest checkpoint of a run, or weights from elsewhere, do on the test split, and on `sets`."""
    experiment, mesh = loaded.experiment, parallel.make_mesh()
    variables, _ = restore.trained_variables(loaded, path, init_from, mesh, log)
    feed = open_feed(experiment.data, data_dir=data_dir, seed=0, mesh=mesh)
    if protocols or sets:
        from cnn_jax.protocols import compare

        table = compare(
            experiment,
            variables,
            feed.source('test'),
            protocols=(protocols or 'center').split(','),
            sets=sets.split(',') if sets else [],
            data_dir=data_dir,
            batch_size=eval_batch_size or experiment.data.batch_size,
            mesh=mesh,
            say=log.say,
            poll=lambda: stop.poll('stopped during evaluation'),
        )
        log.say(f'\n{table}')
        return
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
    with restore.fitting(loaded.experiment):
        table = layer_table(model, loaded.experiment.input_shape)
    if variant is None:
        log.say(format_table(table, formula=formula))
        return
    twin = _twin(loaded, variant)
    tables = (table, layer_table(twin, loaded.experiment.input_shape))
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
    log.say(f'next: {training_command(loaded, data_dir)}')


def training_command(loaded: Loaded, data_dir: Path) -> str:
    """The command that trains an experiment: what is not as it would be without a word."""
    defaults = {option.name: option.default for option in signature(function(loaded.name))}
    given = {name: value for name, value in loaded.options.items() if value != defaults[name]}
    parts = ['python -m cnn_jax.main', f'--experiment={loaded.name}']
    for name, value in given.items():
        parts.append(f'--config.{name}={",".join(map(str, value)) if isinstance(value, tuple) else value}')
    parts += [f'--data_dir={data_dir}'] if data_dir != default_data_dir() else []
    return ' '.join([parts[0], *map(shlex.quote, parts[1:])])


def verify(loaded: Loaded, *, seed: int, data_dir: Path, log: Log) -> None:
    """Tries the promises on an experiment; CnnJaxError if one does not hold."""
    from cnn_jax import verify as verification

    log.say(parallel.describe_devices())
    checks = verification.verify(loaded.experiment, seed=seed, data_dir=data_dir)
    verification.describe(checks, log.say)
    failed = [check.name for check in checks if not check.holds]
    if failed:
        raise CnnJaxError(f'{loaded.name} breaks a promise: {", ".join(failed)}; see the lines above')


def benchmark(
    loaded: Loaded, *, seed: int, data_dir: Path, mapping: parallel.Mode, path: Path | None, log: Log
) -> None:
    """Prints what a training step costs here, on 1, 2, 4, ... devices."""
    from cnn_jax import benchmark_mode

    benchmark_mode.benchmark(loaded, seed=seed, data_dir=data_dir, mapping=mapping, path=path, log=log)
