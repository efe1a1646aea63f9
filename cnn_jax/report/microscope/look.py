"""What a microscope looks at."""

from collections.abc import Sequence
from typing import NamedTuple

from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.workdir.history import History


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
