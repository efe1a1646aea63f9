"""The models that benchmarks.models_cpu times, and what each of them is given."""

import zlib
from dataclasses import dataclass

import numpy as np

LEARNING_RATE = 1e-3
MOMENTUM = 0.9
PAPER = -0.42  # pixel 0 of MNIST, standardised
INK = 2.82  # pixel 255


@dataclass(frozen=True)
class Case:
    """A model and what it is given; `epoch` is the number of images of an epoch with data, 0 for none.

    is_task: whether it answers something else than a class; `benchmarks.task_steps` has these.
    """

    size: int
    channels: int
    batch: int
    classes: int
    epoch: int = 0
    is_task: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.size, self.size, self.channels


TASK_NETS = ('localizer', 'centernet', 'fcn', 'pose', 'captioner', 'question_answerer')
CASES = {
    'lenet5': Case(28, 1, 128, 10, epoch=60_000),
    'resnet18': Case(64, 3, 32, 1000),
    'vgg11': Case(64, 3, 16, 1000),
    'resnet50': Case(224, 3, 8, 1000),
    **{name: Case(48, 1, 32, 10, is_task=True) for name in TASK_NETS},
}


QUICK = {'batch': 4, 'epoch': 512}


def value(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The starting value of a variable, the same in every framework: a function of 'conv1/kernel' and the shape."""
    rng, leaf = np.random.default_rng(zlib.crc32(path.encode())), path.split('/')[-1]
    if leaf == 'var':
        return rng.uniform(1, 3, shape).astype(np.float32)
    deviation = (2 / np.prod(shape[:-1])) ** 0.5 if leaf == 'kernel' else 0.1
    return rng.normal(leaf == 'scale', deviation, shape).astype(np.float32)


def batch(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images, float32 NHWC, and labels, int32."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(case.shape, np.float32), rng.integers(0, case.classes, case.batch, np.int32)


def data_set(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images of an epoch, uint8 (rows, height, width, channels), and labels, int32."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (case.epoch, *case.shape[1:]), np.uint8)
    return images, rng.integers(0, case.classes, case.epoch, np.int32)
