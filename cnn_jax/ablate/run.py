"""An ablation: makes or finds the grid, runs what is not finished, writes the table and the page."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnn_jax.ablate import chosen, page, plan, processes, table, together
from cnn_jax.ablate.cells import Shared, run_cell, unify_steps
from cnn_jax.ablate.grid import Cell, Grid, alike, extend, make_grid, read_grid, write_grid
from cnn_jax.ablate.score import metric_of, read_outcome, score
from cnn_jax.ablate.summary import summarise
from cnn_jax.ablation import published
from cnn_jax.devices.compilation import forget_if_many
from cnn_jax.devices.processes import describe_devices
from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.drawing.words import duration
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.experiment import load
from cnn_jax.workdir import sinks, trust
from cnn_jax.workdir.config import default_path, make_folder
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.place import check_writable_name
from cnn_jax.workdir.progress import silent


def ablate(
    experiment: str | None,
    *,
    options: Mapping[str, str],
    vary: Mapping[str, str],
    workdir: Path | None,
    seed: int,
    seeds: int | None,
    metric: str | None,
    cell: int | None,
    jobs: int,
    dry_run: bool,
    log_to: str | None,
    init_from: Path | None,
    data_dir: Path,
    stop: StopRequest,
    log: Log,
    pictures: bool = True,
) -> None:
    """Runs a grid of an experiment, each cell a run folder below `workdir`, and writes the table and the page.

    Args:
        experiment: its name; None: that of the grid in `path`, with all that goes with it.
        options: the same in all cells.
        vary: the values of each varied option, as typed; none: those of the experiment file's ABLATION.
        workdir: of the grid; None: a new one.
        seed: the first of the seeds.
        seeds: how many; None: the ABLATION's number, else 5.
        metric: what is compared, see `score`; None: the ABLATION's, else the headline of the task.
        cell: the one run to do, and no table: an array job's index.
        jobs: processes that share the cells.
        dry_run: only says what would be run, and how long it would take.
        log_to: the `sinks` of each run.
        init_from: a weights file or another run, whose variables each run starts from.
        pictures: False: the table alone, without the page.

    Raises:
        CnnJaxError: what was asked for is not a grid, or another one than the folder has.
        Stopped: a signal came; the runs in hand are saved.
    """
    processes.keep_to_cores()
    sinks.parse(log_to)  # a wrong name is an error before anything starts
    asked = None
    if experiment is not None:
        asked = ask(experiment, options, vary, seed=seed, seeds=seeds, metric=metric, init_from=init_from)
        workdir = workdir or default_path(experiment)
    grid = find_grid(asked, workdir, metric, typed=bool(options or vary or seeds or init_from))
    assert workdir is not None  # else `find_grid` has said so
    todo = unfinished(grid, workdir, grid.cells if cell is None else [pick(grid, cell)])
    if dry_run:
        return plan.show(grid, todo, data_dir=data_dir, stop=stop, log=log)
    check_writable_name(workdir)
    make_folder(workdir)
    if asked is not None:
        trust.note(grid.experiment)  # other processes read it from the folder
    if read_grid(workdir) != grid:
        write_grid(workdir, grid)
    alone = not processes.is_worker()
    if alone:
        log.say(f'{grid.experiment}: {len(grid.variants)} cells, {len(grid.seeds)} seeds, in {workdir}')
    begin = time.monotonic()
    if jobs > 1 and len(todo) > 1:
        flags = [f'--data_dir={data_dir}', f'--log_to={log_to or ""}', *['--trust'] * trust.everything()]
        processes.share(workdir, jobs, flags, runs=len(todo), stop=stop, log=log)
    elif todo:
        if alone:
            log.say(describe_devices())
        run_cells(grid, todo, workdir, data_dir=data_dir, stop=stop, log=log, log_to=sinks.parse(log_to))
    if alone:
        log.say(f'{len(todo)} runs in {duration(time.monotonic() - begin)}; {len(grid.cells)} in the grid')
    if alone and cell is None:
        report(grid, workdir, data_dir=data_dir, stop=stop, log=log, pictures=pictures)
    return None


def ask(
    experiment: str,
    options: Mapping[str, str],
    vary: Mapping[str, str],
    *,
    seed: int,
    seeds: int | None,
    metric: str | None,
    init_from: Path | None = None,
) -> Grid:
    """The grid that was typed, what is missing taken from the experiment file's ABLATION."""
    known = published(experiment)
    if not vary and known is None and seeds is None:
        raise CnnJaxError(f'--mode=ablate needs --vary.OPTION=VALUE,VALUE or --seeds=N: {experiment} has no ABLATION')
    if seeds is not None and seeds < 1:
        raise CnnJaxError(f'--seeds: {seeds} is below 1')
    count = seeds or (known.seeds if known else 5)
    values = vary or (known.vary if known else {})
    grid = make_grid(experiment, options, values, seeds=range(seed, seed + count), metric='', init_from=init_from)
    task = grid.task  # of the baseline: without the varied options an experiment may be incomplete
    grid = replace(grid, metric=metric_of(metric or (known and known.metric) or task.headline.name, task).name)
    made = [load(experiment, {**grid.options, **variant}) for variant in grid.variants.values()]  # or out of range
    splits = {each.experiment.data.choosing_split for each in made}
    if len(splits) > 1:
        raise CnnJaxError('--vary: some cells have a validation split and some have none: they cannot be compared')
    return replace(grid, split=splits.pop())


def find_grid(asked: Grid | None, path: Path | None, metric: str | None, *, typed: bool) -> Grid:
    """The grid to run: the one asked for, joined with what the folder has."""
    saved = read_grid(path) if path is not None else None
    if asked is None:
        if path is None or saved is None:
            raise CnnJaxError(f'--mode=ablate needs an --experiment=NAME, or the --workdir of a grid (given: {path})')
        if typed:
            raise CnnJaxError(f'the grid in {path} remembers its options; name its --experiment too to extend it')
        trust.check(saved.experiment, path)
        return saved if metric is None else replace(saved, metric=metric_of(metric, saved.task).name)
    assert path is not None
    if (path / 'config.json').exists():
        raise CnnJaxError(f'{path} holds a single run; give another --workdir')
    return asked if saved is None else extend(saved, asked, path)


def pick(grid: Grid, number: int) -> Cell:
    """The run with that number."""
    if not 0 <= number < len(grid.cells):
        raise CnnJaxError(f'--cell: {number} given; the grid has the cells 0 to {len(grid.cells) - 1}')
    return grid.cells[number]


def unfinished(grid: Grid, path: Path, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that have neither finished nor diverged."""
    steps = {
        name: load(grid.experiment, {**grid.options, **v}).experiment.num_steps for name, v in grid.variants.items()
    }
    states = [read_outcome(path / cell.folder, steps[cell.name]).state for cell in cells]
    return [cell for cell, state in zip(cells, states, strict=True) if state not in ('finished', 'diverged')]


def run_cells(
    grid: Grid,
    cells: Sequence[Cell],
    path: Path,
    *,
    data_dir: Path,
    stop: StopRequest,
    log: Log,
    log_to: tuple[str, ...] = (),
) -> None:
    """Runs cells in this process: at once where that is faster, else one after the other.

    Cells that differ only in numbers share a compiled step. Those that another process has in hand are left to it.
    """
    left = list(cells)
    working = silent if processes.is_worker() else log.working  # whoever started this one shows all together
    with log.once(), working('runs begun', len(cells)) as told:
        for part, shared, program in _planned(grid, cells, data_dir=data_dir, stop=stop, log_to=log_to):
            told.next(str(part[0].folder), len(part))
            forget_if_many()
            begin = time.monotonic()
            try:
                done = _run_part([(shared[cell.name], cell) for cell in part], path, program)
            except Stopped as stopped:
                what = f'{len(left)} runs are left; the same command goes on'
                raise Stopped(stopped.signal_number, what) from None
            left = [cell for cell in left if cell not in part]
            if done:
                said = _said(part, path, shared[part[0].name])
                log.say(f'{len(cells) - len(left)}/{len(cells)}  {said}  {duration(time.monotonic() - begin)}')


def _planned(
    grid: Grid, cells: Sequence[Cell], *, data_dir: Path, stop: StopRequest, log_to: tuple[str, ...]
) -> Iterator[tuple[list[Cell], dict[str, Shared], Any]]:
    """The cells in the parts that are run at once, each with what its group shares: by name of a cell, its program."""
    source = Path(grid.init_from) if grid.init_from else None
    for group in alike(cells).values():
        shared: dict[str, Shared] = {}
        for cell in group:
            if cell.name not in shared:
                loaded = load(grid.experiment, cell.options)
                shared[cell.name] = Shared(loaded, data_dir=data_dir, stop=stop, log_to=log_to, init_from=source)
        program = unify_steps(list(shared.values()))
        for part in _parts(group, shared, program):
            yield part, shared, program


def _parts(group: list[Cell], shared: dict[str, Shared], program: Any) -> list[list[Cell]]:
    """Which of the cells are run at once: those of one program or one name, where that is faster; else one by one."""
    if not together.suits(shared[group[0].name], len(group)):
        return [[cell] for cell in group]
    if program and together.share_images(list(shared.values())):
        return [group]
    return [[cell for cell in group if cell.name == name] for name in shared]


def _run_part(runs: Sequence[tuple[Shared, Cell]], path: Path, program: Any) -> bool:
    """Runs a part of a group; False if it was another process's to run."""
    shared, cell = runs[0]
    if read_outcome(path / cell.folder, shared.experiment.num_steps).state in ('finished', 'diverged'):
        return False  # meanwhile
    try:
        if len(runs) > 1:
            several = len({other.name for _, other in runs}) > 1
            together.run_together(runs, path, program if several else None)
        else:
            run_cell(shared, cell, path / cell.folder)
    except StorageError as error:
        if processes.is_worker() and 'in use' in str(error):
            return False
        raise
    return True


def _said(part: Sequence[Cell], path: Path, shared: Shared) -> str:
    """The result of runs in a few words."""
    task = shared.experiment.task
    outcomes = [read_outcome(path / cell.folder, shared.experiment.num_steps) for cell in part]
    headline, split = metric_of(task.headline.name, task), shared.experiment.data.choosing_split
    finished = [outcome for outcome in outcomes if outcome.state == 'finished']
    found = [score(outcome.lines, headline, split, outcome.result_step) for outcome in finished]
    where = part[0].folder if len(part) == 1 else f'{len(part)} runs at once, from {part[0].folder} on'
    return f'{where}  ' + (f'{split} {task.headline.in_words(sum(found) / len(found))}' if found else 'diverged')


def report(grid: Grid, path: Path, *, data_dir: Path, stop: StopRequest, log: Log, pictures: bool = True) -> None:
    """Writes the tables and, with `pictures`, the page; prints the table.

    The chosen cell is tested first, where cells are compared on held-out images.
    """
    with log.working('comparing the cells'):
        summary = summarise(grid, path, published(grid.experiment))
    found = chosen.quote(summary, path, data_dir=data_dir, stop=stop, log=log)
    if found is not None:
        summary = summary._replace(chosen=found.in_words(summary))
    table.write_tables(summary, path)
    log.say('')
    log.say(table.as_text(summary))
    if pictures:
        with log.working('drawing the page'):
            written = page.write_page(summary, path)
        log.say('')
        log.say(f'page           {written}')
