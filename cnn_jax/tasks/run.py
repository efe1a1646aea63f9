"""What the page of a run is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.drawing.words import one_line


@dataclass(frozen=True)
class Run:
    """A run that has ended, as its page needs it. What is empty is left out of the page.

    Attributes:
        config: of config.json.
        metrics: lines of metrics.jsonl.
        model: a Linen module.
        image_shape: of the data.
        input_shape: that the model sees, behind `preprocess`.
        results: of the test split, see `tasks.results.Results`.
        worst: the places in `results` of the images that are shown.
        images: these, uint8 (images, height, width, channels).
        cases: of tasks that draw their answers, `tasks.cases.Case`s by their kind.
    """

    workdir: Path
    task: Any  # a `tasks.task.Task`, which knows this file
    config: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    model: Any
    variables: Mapping[str, Any]
    image_shape: tuple[int, int, int]
    input_shape: tuple[int, int, int]
    results: Mapping[str, np.ndarray] = field(default_factory=dict)
    worst: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    images: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))
    cases: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def class_names(self) -> list[str]:
        """From the configuration, each in one line."""
        return [one_line(name) for name in self.config.get('class_names') or ()]

    @property
    def right(self) -> np.ndarray:
        """Whether each test image is answered right, (images,) bool; empty where that is not known."""
        right = self.task.right(self.results) if self.results else None
        return np.zeros(0, bool) if right is None else right

    @property
    def record(self) -> dict[str, Any]:
        """What is saved with each figure of the page: what made the run."""
        return {'workdir': self.workdir.name, **self.config}

    def last(self, name: str, split: str | None = None) -> Any:
        """The last value of that name in the metrics; None if there is none."""
        values = [line.get(name) for line in self.metrics if split in (None, line.get('split'))]
        return next((value for value in reversed(values) if value is not None), None)
