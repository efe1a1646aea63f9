"""What a microscope looks at."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from cnn_jax.report.microscope.settings import DEFAULTS, Settings
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.results import Results
from cnn_jax.visualize.engine.examples import Examples


class History(Protocol):
    """The variables of a run at some steps of its training, as `workdir.history` keeps them."""

    def steps(self) -> list[int]: ...

    def read(self, step: int, like: Mapping[str, Any]) -> dict[str, Any]: ...


class Look(NamedTuple):
    """What is looked at.

    Attributes:
        examples: of a split.
        split: its name.
        step: of the weights.
        checkpoints: the steps that have one.
        costly: with what takes the longest: for each unit the patches that excite it most, what it uses of them, and
            images made for it; t-SNE; the net over its training.
        training: images whose colours and spectrum the made ones have; None: none are made.
        history: of the run; None: it is not looked at.
        results: of the split, see `tasks.results.Results`; empty: it was not evaluated, or its task does not need it.
        cases: rows of the split as the task draws its answers on them; None: it draws none, or nobody has evaluated.
        settings: how much is looked at.
    """

    examples: Examples
    split: str
    step: int
    checkpoints: Sequence[int]
    costly: bool = True
    training: Examples | None = None
    history: History | None = None
    results: Results = MappingProxyType({})
    cases: Callable[[np.ndarray], list[Case]] | None = None
    settings: Settings = DEFAULTS
