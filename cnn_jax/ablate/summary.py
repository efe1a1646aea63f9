"""The rows of an ablation's table, and the verdicts on what was published; computed from the run folders alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.ablate.grid import Grid
from cnn_jax.ablate.score import Outcome, metric_of, read_outcome, score
from cnn_jax.ablation import Ablation, Claim
from cnn_jax.describe import layer_table
from cnn_jax.experiment import load
from cnn_jax.statistics.metric import Metric
from cnn_jax.statistics.significance import ALPHA, Comparison, compare, holm, smallest_p

LEAST_PAIRS = 3  # of the verdict 'no better': of fewer, counted accuracies are too often equal by chance


class Row(NamedTuple):
    """A cell of the grid.

    Attributes:
        name: of the cell.
        scores: the metric by seed, of the finished runs.
        against: the comparison with the baseline; None in its own row.
        p: of that comparison, corrected for the number of cells.
        seconds: of training, the median.
        parameters: of the model.
        macs: multiply-adds for one image.
        missing: how many runs are not finished.
        diverged: how many runs diverged.
    """

    name: str
    scores: dict[int, float]
    against: Comparison | None
    p: float
    seconds: float
    parameters: int
    macs: int
    missing: int
    diverged: int

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.scores.values()))) if self.scores else float('nan')

    @property
    def deviation(self) -> float:
        """The standard deviation over the seeds (n - 1 in the denominator)."""
        return float(np.std(list(self.scores.values()), ddof=1)) if self.n > 1 else float('nan')

    def verdict(self, metric: Metric) -> str:
        """'better', 'worse' or 'within the noise', of the difference to the baseline."""
        if self.against is None:
            return 'baseline'
        if self.against.n == 0:
            return 'no pairs'
        if self.p > ALPHA:
            return 'within the noise'
        return 'better' if metric.signed(self.against.difference) > 0 else 'worse'


class Judged(NamedTuple):
    """A published claim beside what was measured here.

    Attributes:
        claim: what was published.
        metric: of the comparison.
        measured: the comparison here.
        p: corrected for the number of claims.
        verdict: 'as published', 'not resolved at this n' or 'opposite'.
    """

    claim: Claim
    metric: Metric
    measured: Comparison
    p: float
    verdict: str


class Summary(NamedTuple):
    """All of an ablation that its table and page show.

    Attributes:
        grid: the cells.
        metric: what is compared.
        rows: one for each cell, the baseline first.
        claims: those of the experiment file whose cells are in the grid.
        outcomes: of each run, by cell and seed.
        chosen: what was chosen and its score on the test split, in words; None where nothing is chosen.
    """

    grid: Grid
    metric: Metric
    rows: list[Row]
    claims: list[Judged]
    outcomes: dict[tuple[str, int], Outcome]
    chosen: str | None = None

    @property
    def comparisons(self) -> int:
        return len(self.rows) - 1

    @property
    def finished(self) -> bool:
        """Whether every run has ended, in whatever way."""
        return not any(row.missing for row in self.rows)

    def notes(self) -> list[str]:
        """What a reader must know beside the numbers."""
        n = min((row.against.n for row in self.rows if row.against), default=0)
        least = smallest_p(n, self.comparisons) if n > 1 else 1.0
        lines = [self.chosen] if self.chosen else []
        if self.comparisons and least > ALPHA:
            lines.append(
                f'{n} seed{"s" * (n != 1)} cannot tell: with so few runs the smallest p-value that {self.comparisons} '
                f'comparison{"s" * (self.comparisons > 1)} can have is {least:.2g}, above {ALPHA}; use more seeds'
            )
        missing, diverged = (sum(getattr(row, name) for row in self.rows) for name in ('missing', 'diverged'))
        lines += [f'{missing} runs are not finished; the same command goes on with them'] if missing else []
        lines += [f'{diverged} runs diverged; they are left out of the means'] if diverged else []
        return lines


def summarise(grid: Grid, folder: Path, published: Ablation | None = None) -> Summary:
    """Reads what the runs below `folder` have logged."""
    metric = metric_of(grid.metric, grid.task, grid.split)
    outcomes, rows, costs = {}, [], {}
    for name, values in grid.variants.items():
        made = load(grid.experiment, {**grid.options, **values}).experiment
        costs[name] = _cost(made)
        for seed in grid.seeds:
            outcomes[name, seed] = read_outcome(folder / name / f'seed_{seed}', made.num_steps)
    baseline = _scores(outcomes, grid, grid.baseline, metric)
    for name in grid.variants:
        own = _scores(outcomes, grid, name, metric)
        against = None if name == grid.baseline else _paired(own, baseline, len(grid.variants) - 1)
        rows.append(_row(name, own, against, costs[name], [outcomes[name, seed] for seed in grid.seeds]))
    corrected = iter(holm([row.against.p for row in rows if row.against]))
    rows = [row if row.against is None else row._replace(p=next(corrected)) for row in rows]
    return Summary(grid, metric, rows, _judge(grid, outcomes, published), outcomes)


def _cost(made: Any) -> tuple[int, int]:
    top = [layer for layer in layer_table(made.model, made.input_shape) if layer.depth == 1]
    return sum(layer.parameters for layer in top), sum(layer.macs for layer in top)


def _row(name: str, own: dict[int, float], against: Comparison | None, cost: tuple[int, int], runs: list[Outcome]):
    seconds = [run.seconds for run in runs if run.state == 'finished']
    return Row(
        name=name,
        scores=own,
        against=against,
        p=float('nan'),
        seconds=float(np.median(seconds)) if seconds else float('nan'),
        parameters=cost[0],
        macs=cost[1],
        missing=sum(run.state in ('absent', 'begun') for run in runs),
        diverged=sum(run.state == 'diverged' for run in runs),
    )


def _scores(outcomes: Mapping[tuple[str, int], Outcome], grid: Grid, name: str, metric: Metric) -> dict[int, float]:
    runs = {seed: outcomes[name, seed] for seed in grid.seeds}
    finished = {seed: run for seed, run in runs.items() if run.state == 'finished'}
    values = {seed: score(run.lines, metric, grid.split, run.result_step) for seed, run in finished.items()}
    return {seed: value for seed, value in values.items() if np.isfinite(value)}


def _paired(own: dict[int, float], other: dict[int, float], comparisons: int) -> Comparison:
    seeds = [seed for seed in own if seed in other]
    return compare([own[seed] for seed in seeds], [other[seed] for seed in seeds], comparisons=comparisons)


def _judge(grid: Grid, outcomes: Mapping[tuple[str, int], Outcome], published: Ablation | None) -> list[Judged]:
    if published is None:
        return []
    pairs = [(claim, grid.name_of(claim.cell), grid.name_of(claim.against)) for claim in published.claims]
    known = [(claim, one, other) for claim, one, other in pairs if one and other]
    compared = []
    for claim, one, other in known:
        metric = metric_of(claim.metric or published.metric or grid.task.headline.name, grid.task, grid.split)
        sides = [_scores(outcomes, grid, name, metric) for name in (one, other)]
        compared.append((claim, metric, _paired(*sides, comparisons=len(known))))
    adjusted = holm([measured.p for _, _, measured in compared])
    return [
        Judged(claim, metric, measured, p, judge(claim.sign, metric, measured, p, published.margin))
        for (claim, metric, measured), p in zip(compared, adjusted, strict=True)
    ]


def judge(sign: str, metric: Metric, measured: Comparison, p: float, margin: float) -> str:
    """Whether a measured difference agrees with a published sign.

    'no better' also agrees if the whole interval lies below `margin` (in the metric's unit): a gain that matters is
    then excluded, though the test may find no difference. That is a test of its own, one-sided: the 95 % interval of
    `significance.compare` lies below a true gain of `margin` in 2.5 % of the cases, from LEAST_PAIRS pairs on.
    """
    better = metric.signed(measured.difference) > 0
    significant = p <= ALPHA
    if sign == 'no better':
        most = metric.signed(measured.high if metric.higher_is_better else measured.low) * metric.scale
        if significant:
            return 'opposite' if better else 'as published'
        return 'as published' if measured.n >= LEAST_PAIRS and most < margin else 'not resolved at this n'
    if not significant:
        return 'not resolved at this n'
    return 'as published' if better == (sign == 'better') else 'opposite'
