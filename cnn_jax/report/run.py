"""What a report is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Run:
    """A run that has ended, as its report needs it. What is empty is left out of the page."""

    workdir: Path
    config: Mapping[str, Any]  # of config.json
    metrics: Sequence[Mapping[str, Any]]  # lines of metrics.jsonl
    model: Any  # a Linen module
    variables: Mapping[str, Any]
    image_shape: tuple[int, int, int]  # of the data
    input_shape: tuple[int, int, int]  # that the model sees, behind `preprocess`
    results: Mapping[str, np.ndarray] = field(
        default_factory=dict
    )  # (images,): index (row of the test split), label, prediction, probability, loss, rank
    mistakes: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # places in `results`
    images: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))  # of them, uint8 NHWC

    @property
    def class_names(self) -> list[str]:
        """From the configuration, else numbers."""
        names = self.config.get('class_names')
        if names or not len(self.results.get('label', ())):
            return list(names or ())
        most = max(self.results['label'].max(), self.results['prediction'].max())
        return [str(number) for number in range(int(most) + 1)]

    @property
    def right(self) -> np.ndarray:
        """Whether each test image is classified right, (images,) bool."""
        return is_right(self.results) if self.results else np.zeros(0, bool)

    @property
    def record(self) -> dict[str, Any]:
        """What is saved with each figure of the page: what made the run."""
        return {'workdir': self.workdir.name, **self.config}

    def last(self, name: str, split: str | None = None) -> Any:
        """The last value of that name in the metrics; None if there is none."""
        values = [line.get(name) for line in self.metrics if split in (None, line.get('split'))]
        return next((value for value in reversed(values) if value is not None), None)


def is_right(results: Mapping[str, np.ndarray]) -> np.ndarray:
    """Whether each image is right: no class comes before the true one (`rank`), else by the prediction."""
    return np.asarray(results['rank'] < 1 if 'rank' in results else results['label'] == results['prediction'])


def worst_mistakes(results: Mapping[str, np.ndarray], *, most: int = 42) -> np.ndarray:
    """The places in `results` of the misclassified images with the highest losses, highest first; at most `most`."""
    wrong = np.flatnonzero(~is_right(results))
    order = np.argsort(-np.nan_to_num(results['loss'][wrong], nan=np.inf), kind='stable')
    return wrong[order][:most]
