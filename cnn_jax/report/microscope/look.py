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
        costly: whether the patches that excite each unit most are looked for, which takes the longest.
    """

    examples: Examples
    split: str
    step: int
    checkpoints: Sequence[int]
    costly: bool = True
