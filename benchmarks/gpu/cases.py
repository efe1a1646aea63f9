"""What is measured: nets, image sizes, batches, and the numbers that every framework shares. Imports no framework."""

from dataclasses import dataclass
from typing import Any

import numpy as np

NUM_CLASSES = 1000
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4
AUXILIARY_WEIGHT = 0.3  # of GoogLeNet's two heads
NUM_BATCHES = 4  # different inputs that take turns


@dataclass(frozen=True)
class Case:
    """A net under torchvision's name, and what a step is given."""

    model: str
    batch: int
    size: int = 224
    width: float = 1.0  # of our nets and the Flax twins; below 1 for trials alone, torchvision's have none

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.size, self.size, 3


CASES = {
    case.model: case
    for case in (
        Case('resnet50', 256),
        Case('vgg16', 128),
        Case('resnet18', 256),
        Case('alexnet', 512),
        Case('googlenet', 256),
    )
}
TINY = {name: Case(name, 2, 64, 1 / 16) for name in CASES}


def batches(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Standardised random images, float32 NHWC, and labels, int32: no data set is needed."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal(case.shape, np.float32), rng.integers(0, NUM_CLASSES, case.batch, np.int32))
        for _ in range(NUM_BATCHES)
    ]


def fill(shapes: dict[str, Any]) -> dict[str, Any]:
    """Starting values for a tree of variables {'params': {...}, 'batch_stats': {...}}: He's kernels, identity norms."""
    rng = np.random.default_rng(0)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name == 'kernel':
            return rng.standard_normal(shape, np.float32) * np.float32((2 / np.prod(shape[:-1])) ** 0.5)
        return np.full(shape, name in ('scale', 'var'), np.float32)

    def walk(name: str, tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: walk(key, below) for key, below in tree.items()}
        return draw(name, tree.shape)

    return walk('', shapes)
