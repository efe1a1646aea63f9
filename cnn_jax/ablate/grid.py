"""The grid of an ablation: options and their values, seeds, and the cells that these make, each a run folder."""

import functools
import itertools
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax import options
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.experiment import function, load
from cnn_jax.files.whole import write_whole
from cnn_jax.tasks.task import Task
from cnn_jax.workdir import trust
from cnn_jax.workdir.config import options_then

FILE = 'grid.json'
MOST_CELLS = 10_000


class Cell(NamedTuple):
    """One run of the grid.

    Attributes:
        number: its place, 0 for the first seed of the baseline; the index of an array job.
        name: of its options, 'norm=batch,depth=20'; the folder above its own.
        options: what is given to the experiment, the fixed options and the varied ones.
        seed: of the run.
    """

    number: int
    name: str
    options: dict[str, Any]
    seed: int

    @property
    def folder(self) -> Path:
        """Where the run is, below the work folder of the grid."""
        return Path(self.name) / f'seed_{self.seed}'


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A cartesian grid.

    Attributes:
        experiment: its name.
        options: the options that are the same in all cells, where they are not the defaults.
        vary: the values of each varied option, the baseline's first.
        seeds: of the runs of each cell.
        metric: what is compared, see `score`.
        init_from: a weights file or another run, whose variables each run starts from; None: from its seed.
        split: the images that runs are compared on.
    """

    experiment: str
    options: Mapping[str, Any]
    vary: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    metric: str
    init_from: str | None = None
    split: str = 'test'

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """The varied options of each cell by its name; the first is the baseline."""
        combinations = itertools.product(*self.vary.values())
        named = [dict(zip(self.vary, values, strict=True)) for values in combinations]
        return {cell_name(values): values for values in named}

    @functools.cached_property
    def task(self) -> Task:
        """What the runs answer."""
        return load(self.experiment, {**self.options, **self.variants[self.baseline]}).experiment.task

    @property
    def baseline(self) -> str:
        """The name of the cell that the others are compared with."""
        return next(iter(self.variants))

    @property
    def cells(self) -> list[Cell]:
        """Every run, the seeds of a cell beside each other."""
        pairs = [(name, values, seed) for name, values in self.variants.items() for seed in self.seeds]
        return [
            Cell(number, name, {**self.options, **values}, seed) for number, (name, values, seed) in enumerate(pairs)
        ]

    def name_of(self, values: Mapping[str, Any]) -> str | None:
        """The cell with these values, the baseline's where an option is not named; None if the grid has none."""
        if not set(values) <= set(self.vary):
            return None
        name = cell_name({option: values.get(option, choices[0]) for option, choices in self.vary.items()})
        return name if name in self.variants else None


def alike(cells: Sequence[Cell]) -> dict[Any, list[Cell]]:
    """Cells in groups whose options differ in floating-point numbers alone."""
    groups: dict[Any, list[Cell]] = {}
    for cell in cells:
        rest = [(name, value) for name, value in cell.options.items() if not isinstance(value, float)]
        groups.setdefault(repr(rest), []).append(cell)
    return groups


def cell_name(values: Mapping[str, Any]) -> str:
    """'norm=batch,depth=20': a folder's name, whatever the values are."""
    return ','.join(f'{name}={_plain(value)}' for name, value in values.items()) or 'defaults'


def _plain(value: Any) -> str:
    text = '+'.join(map(_plain, value)) if isinstance(value, tuple | list) else f'{value}'
    text = text.lower() if isinstance(value, bool) or value is None else text
    return re.sub(r'[^A-Za-z0-9.+_-]', '-', text) or 'empty'


def split_values(text: str) -> list[str]:
    """'batch,group' at its commas, but not at those in brackets: '(1,2),(3,)' has two values, '1,2;3' too."""
    if ';' in text:
        return [part.strip() for part in text.removesuffix(';').split(';')]
    return [part.strip() for part in re.split(r',(?![^(]*\))(?![^\[]*\])', text)]


def make_grid(
    experiment: str,
    fixed: Mapping[str, str],
    vary: Mapping[str, str | Sequence[Any]],
    *,
    seeds: Sequence[int],
    metric: str,
    init_from: Path | None = None,
) -> Grid:
    """The grid that was asked for; texts are parsed as the experiment's options.

    Raises:
        CnnJaxError: an unknown option, a value that does not fit, one given twice, or too many cells.
    """
    rows = options.signature(function(experiment))
    given = options.resolve(rows, fixed)
    values: dict[str, tuple[Any, ...]] = {}
    for name, listed in vary.items():
        if name in fixed:
            raise CnnJaxError(f'--vary.{name} and --config.{name} are both given; leave one out')
        choices = split_values(listed) if isinstance(listed, str) else listed
        values[name] = tuple(_parse(rows, name, choice) for choice in choices)
        if len({_plain(value) for value in values[name]}) < len(values[name]):
            raise CnnJaxError(f'--vary.{name}: a value is given twice, or two make the same folder: {listed}')
    grid = Grid(
        experiment=experiment,
        options={name: given[name] for name in fixed},
        vary=values,
        seeds=tuple(seeds),
        metric=metric,
        init_from=str(init_from.resolve()) if init_from else None,
    )
    if len(grid.cells) > MOST_CELLS:
        raise CnnJaxError(f'the grid has {len(grid.cells)} cells; at most {MOST_CELLS} are run')
    return grid


def _parse(rows: list[options.Option], name: str, choice: Any) -> Any:
    try:
        return options.resolve(rows, {name: choice})[name]
    except CnnJaxError as error:
        raise CnnJaxError(str(error).replace('--config.', '--vary.')) from None


def read_grid(folder: Path) -> Grid | None:
    """The grid of a work folder; None if there is none."""
    file = folder / FILE
    if not file.exists():
        return None
    try:
        saved = json.loads(file.read_text(encoding='utf-8'))
        vary = {name: tuple(map(_frozen, values)) for name, values in saved['vary'].items()}
        fixed = {name: _frozen(value) for name, value in saved['options'].items()}
        if 'split' not in saved:  # a grid from before images were held out
            trust.check(saved['experiment'], folder)
            fixed = {**options_then(saved['experiment']), **fixed}
        return Grid(
            experiment=saved['experiment'],
            options=fixed,
            vary=vary,
            seeds=tuple(saved['seeds']),
            metric=saved['metric'],
            init_from=saved.get('init_from'),
            split=saved.get('split', 'test'),
        )
    except CnnJaxError:
        raise
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise StorageError(
            f'cannot read {file}: {error!r}; put it back from a copy, or use another --workdir'
        ) from error


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def write_grid(folder: Path, grid: Grid) -> None:
    """Writes `grid.json`; the tasks of an array job may all write it."""
    record = {**asdict(grid), 'baseline': grid.baseline, 'written': time.strftime('%Y-%m-%d %H:%M:%S')}
    write_whole(folder / FILE, json.dumps(record, indent=2) + '\n')


def extend(saved: Grid, asked: Grid, folder: Path) -> Grid:
    """The grid to run in a folder that has one: `asked`, if it holds all cells of `saved` and has its baseline.

    The metric may differ: it is read from what the runs have logged.

    Raises:
        CnnJaxError: it is another grid; the line says in what.
    """
    differ = [
        f'{name} was {before!r}, now {now!r}'
        for name, before, now in (
            ('experiment', saved.experiment, asked.experiment),
            ('options', dict(saved.options), dict(asked.options)),
            ('varied options', list(saved.vary), list(asked.vary)),
            ('init_from', saved.init_from, asked.init_from),
        )
        if before != now
    ]
    if not differ:
        differ += [
            f'{name} was {list(before)}, now {list(now)}'
            for name, before, now in [(n, saved.vary[n], asked.vary[n]) for n in saved.vary]
            if now[0] != before[0] or not set(before) <= set(now)
        ]
        differ += [f'seed {seed} is missing' for seed in saved.seeds if seed not in asked.seeds]
    if differ:
        raise CnnJaxError(
            f'{folder} holds another grid: {"; ".join(differ)}; more values and seeds may be added, the baseline stays '
            'first; leave --experiment out to go on with the grid as it is, or give another --workdir'
        )
    return replace(asked, seeds=(*saved.seeds, *(seed for seed in asked.seeds if seed not in saved.seeds)))
