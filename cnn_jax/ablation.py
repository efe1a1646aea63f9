"""An ablation that a paper reports: what it varies, and the sign of the effect. `--mode=ablate` runs and judges it.

A file below `experiments/ablations/` is an experiment file with one more export, `ABLATION`.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cnn_jax.experiment import function

Sign = Literal['better', 'worse', 'no better']


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One comparison of a paper: with the options `cell` a net is `sign` than with the options `against`.

    Attributes:
        cell: values of varied options; those that are not named have the baseline's.
        against: the same, of the other net.
        sign: of the metric: 'better' and 'worse' as the metric counts (a lower loss is better).
        published: the paper's numbers, with where they stand.
        metric: see `ablate.score`; None: the ablation's.
    """

    cell: Mapping[str, Any]
    against: Mapping[str, Any]
    sign: Sign
    published: str
    metric: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What `--mode=ablate` does with an experiment if no `--vary` is given.

    Attributes:
        vary: values of each option; the first ones are the baseline.
        claims: what was published; none for comparisons that nobody published.
        metric: see `ablate.score`; None: the headline of the task.
        seeds: how many runs of each cell.
        margin: a difference that does not matter, for claims of 'no better', in the metric's own unit.
    """

    vary: Mapping[str, tuple[Any, ...]]
    claims: tuple[Claim, ...] = ()
    metric: str | None = None
    seeds: int = 10
    margin: float = 1.0


def published(name: str) -> Ablation | None:
    """The `ABLATION` of an experiment file; None if it has none."""
    return inspect.unwrap(function(name)).__globals__.get('ABLATION')
