"""What a microscope looks at."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

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
        costly: with what takes the longest: the patches that excite each unit most, t-SNE, the net over its training.
        history: of the run; None: it is not looked at.
    """

    examples: Examples
    split: str
    step: int
    checkpoints: Sequence[int]
    costly: bool = True
    history: History | None = None
