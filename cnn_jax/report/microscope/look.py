"""What a microscope looks at."""

from collections.abc import Sequence
from typing import NamedTuple

from cnn_jax.visualize.engine.examples import Examples


class Look(NamedTuple):
    """What is looked at.

    Attributes:
        examples: of a split.
        split: its name.
        step: of the weights.
        checkpoints: the steps that have one.
        costly: whether what takes long is made: for each unit the patches that excite it most, what it uses of them,
            and images made for it.
        training: images whose colours and spectrum the made ones have; None: none are made.
    """

    examples: Examples
    split: str
    step: int
    checkpoints: Sequence[int]
    costly: bool = True
    training: Examples | None = None
