"""How a model learns, as values: what a training step and an evaluation step are made from."""

import dataclasses
from typing import Literal, NamedTuple, get_args

import flax.linen as nn
import optax

from cnn_jax.data.augment import BatchTransform
from cnn_jax.tasks.task import Task

OnNan = Literal['stop', 'skip']


class Parts(NamedTuple):
    """What an evaluation or a prediction takes of a recipe."""

    model: nn.Module
    task: Task
    preprocess: BatchTransform


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A model, its task, and how it learns.

    Attributes:
        model: a Linen module, `model.apply(variables, images, train=...) -> outputs`, as the task takes them.
        task: what an answer is; it carries the loss.
        optimizer: an optax transformation.
        preprocess: `(keys, batch) -> batch`: uint8 images (batch, height, width, channels) become what the model takes.
        augment: `(keys, batch) -> batch` on the uint8 images of training, before `preprocess`.
        mix: `(keys, batch) -> batch` in training, after `preprocess` (mixup, CutMix).
        learning_rate: the optimizer's schedule, for the log alone.
        accumulate: parts that each device's images are taken in, one after the other (see `gradient.accumulated`).
        sam_radius: of sharpness-aware minimisation (see `gradient.sharpness_aware`); None: without.
        ema_decay: of a moving average of the variables, below 1, evaluated beside the last ones; None: without.
        on_nan: what a loss or gradient that is not finite does: 'stop' the run, or 'skip' that update.
    """

    model: nn.Module
    task: Task
    optimizer: optax.GradientTransformation
    preprocess: BatchTransform
    augment: BatchTransform | None = None
    mix: BatchTransform | None = None
    learning_rate: optax.Schedule | None = None
    accumulate: int = 1
    sam_radius: float | None = None
    ema_decay: float | None = None
    on_nan: OnNan = 'stop'

    def __post_init__(self) -> None:
        if isinstance(self.model, type) or not hasattr(self.model, 'apply'):
            raise ValueError(f'model: {self.model!r} given; give a Linen module, made: LeNet(), not LeNet')
        if not hasattr(self.optimizer, 'update'):
            raise ValueError(f'optimizer: {self.optimizer!r} given; give an optax transformation, as optax.sgd(0.1)')
        for name in ('preprocess', 'augment', 'mix'):
            if not callable(given := getattr(self, name)) and (given is not None or name == 'preprocess'):
                raise ValueError(f'{name}: {given!r} given; give a function (keys, batch) -> batch')
        if self.learning_rate is not None and not callable(self.learning_rate):
            given = self.learning_rate
            raise ValueError(f'learning_rate: {given!r} given; give a schedule, as optax.constant_schedule({given!r})')
        if self.accumulate < 1:
            raise ValueError(f'accumulate: {self.accumulate} is below 1; give at least 1')
        if self.sam_radius is not None and self.sam_radius <= 0:
            raise ValueError(f'sam_radius: {self.sam_radius} is not above 0; give None to train without')
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ValueError(f'ema_decay: {self.ema_decay} is not at least 0 and below 1; give None to train without')
        if self.on_nan not in get_args(OnNan):
            raise ValueError(f'on_nan: {self.on_nan!r} is not one of {", ".join(get_args(OnNan))}')
