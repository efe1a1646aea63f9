"""The cell that an ablation chooses on its validation images, and what it does on the test split: looked at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.ablate.cells import Shared
from cnn_jax.ablate.grid import Grid
from cnn_jax.ablate.score import Outcome, metric_of, score
from cnn_jax.ablate.summary import Row, Summary
from cnn_jax.devices.stop import StopRequest
from cnn_jax.experiment import load
from cnn_jax.statistics.intervals import mean_interval
from cnn_jax.statistics.metric import LOSS
from cnn_jax.training.restore import read_state
from cnn_jax.training.which import BEST, LATEST
from cnn_jax.workdir.log import Log, read_metrics
from cnn_jax.workdir.openings import count_opening


class Chosen(NamedTuple):
    """A cell with its scores on the test split.

    Attributes:
        name: of the cell.
        scores: the headline metric on the test split, by seed.
        opened: how many cells of the grid have had their test split looked at.
    """

    name: str
    scores: Mapping[int, float]
    opened: int

    def in_words(self, summary: Summary) -> str:
        """One line: what was chosen by what, and its test score with the interval over the runs."""
        headline = summary.grid.task.headline
        found = mean_interval(list(self.scores.values()))
        mean, reach = float(found.mean), float(found.reach)
        unit = ' %' if headline.unit == 'points' else ''
        row = next(row for row in summary.rows if row.name == self.name)
        runs = f'{len(self.scores)} run{"s" * (len(self.scores) != 1)}'
        low, high = mean - reach, mean + reach
        if headline.unit == 'points':  # of few runs Student's interval is wider than what a share can be
            low, high = (float(np.clip(end, 0, 1)) for end in (low, high))
        interval = f'95 % interval {headline.show(low)} to {headline.show(high)}, {runs}'
        tied = sum(other.mean == row.mean for other in summary.rows if other.n) > 1
        equal = ', of equal cells the one of the lower loss' if tied else ''
        cells = 'this cell alone' if self.opened == 1 else f'{self.opened} cells'
        return (
            f'chosen by the mean {summary.metric.title}: {self.name}, {summary.metric.show(row.mean)}{equal}; its test '
            f'{headline.title} is {headline.show(mean)}{unit} ({interval if len(self.scores) > 1 else "one run"}); '
            f'the test split was opened for {cells}'
        )


def choose(summary: Summary) -> Row | None:
    """The cell with the best mean; of equal ones that with the lower validation loss. None while runs are missing."""
    loss = metric_of(LOSS.name, summary.grid.task, summary.grid.split)

    def rank(row: Row) -> tuple[float, float]:
        losses = [score(run.lines, loss, summary.grid.split, run.result_step) for run in _finished(summary, row.name)]
        return summary.metric.signed(row.mean), -float(np.mean(losses))

    scored = [row for row in summary.rows if row.n]
    return max(scored, key=rank) if scored and summary.finished else None


def _finished(summary: Summary, name: str) -> list[Outcome]:
    return [run for (cell, _), run in summary.outcomes.items() if cell == name and run.state == 'finished']


def quote(summary: Summary, folder: Path, *, data_dir: Path, stop: StopRequest, log: Log) -> Chosen | None:
    """Looks at the test split of the chosen cell's runs, where that has not been done; counts it in each run.

    None where the grid is compared on the test split itself, or is not finished.
    """
    grid, row = summary.grid, choose(summary)
    if grid.split == 'test' or row is None:
        return None
    runs = {seed: summary.outcomes[row.name, seed] for seed in grid.seeds}
    runs = {seed: run for seed, run in runs.items() if run.state == 'finished'}
    left = [seed for seed, run in runs.items() if not _tested(run)]
    if left:
        _open(grid, row.name, left, folder, data_dir=data_dir, stop=stop, log=log)
    headline = metric_of(grid.task.headline.name, grid.task)
    scores = {seed: score(read_metrics(folder / row.name / f'seed_{seed}'), headline) for seed in runs}
    opened = {row.name, *(name for (name, _), run in summary.outcomes.items() if _tested(run))}
    return Chosen(row.name, scores, len(opened))


def _tested(run: Outcome) -> bool:
    return any(line['split'] == 'test' for line in run.lines)


def _open(
    grid: Grid, name: str, seeds: list[int], folder: Path, *, data_dir: Path, stop: StopRequest, log: Log
) -> None:
    shared = Shared(load(grid.experiment, {**grid.options, **grid.variants[name]}), data_dir=data_dir, stop=stop)
    setup, experiment = shared.setup, shared.experiment
    setup.poll = lambda: stop.poll('the same command goes on')
    which = LATEST if experiment.patience is None else BEST
    with log.working('testing the chosen cell, run', len(seeds)) as told:
        for seed in seeds:
            told.next(f'{name}/seed_{seed}')
            run = folder / name / f'seed_{seed}'
            step, state = read_state(experiment, run, setup.mesh, which=which, report=lambda line: None)
            found = setup.evaluate_state(state, step, setup.open_feed(seed, shared.fold(seed)), 'test')
            with shared.open_log(run) as own:
                count_opening(run, step=step, by='ablate', report=own.note)
                seconds = read_metrics(run)[-1]['seconds']
                for split, evaluation in found.items():
                    own.metrics(step, split, seconds, **evaluation.summary)
