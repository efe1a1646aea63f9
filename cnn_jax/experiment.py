"""An experiment: model, data, optimizer and recipe of one run, as real objects, made by a function in a file.

A file below `experiments/` (or a `.py` file of your own) defines `experiment(*, ...) -> Experiment`. Its keyword
arguments are its options; what it derives from them (a learning rate from the batch size) it computes itself.
"""

import ast
import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn
import jax
import optax

from cnn_jax import options
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.steps.evaluate import make_eval_step
from cnn_jax.steps.inputs import Inputs, Mix, Transform, training_inputs
from cnn_jax.steps.state import TrainState, init_state
from cnn_jax.steps.train import Loss, OnNan, make_train_step

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'experiments'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One run.

    Attributes:
        model: a Linen module, `model.apply(variables, images, train=...) -> scores` (batch, classes).
        data: where the images come from, and how many there are in a global batch.
        optimizer: an optax transformation.
        num_steps: optimizer steps in all; at least 1.
        preprocess: `(keys, images) -> images`, uint8 (batch, height, width, channels) to what the model takes.
        loss: `(scores, labels) -> losses`, one for each image.
        augment: `(keys, images) -> images` on the uint8 images of training, before `preprocess`.
        mix: `(keys, images, labels) -> (images, targets)` in training, after `preprocess` (mixup, CutMix); the loss
            then takes soft targets (batch, classes) in training and labels in evaluation.
        learning_rate: the optimizer's schedule, for the log alone.
        accumulate: parts that each device's images are taken in, one after the other (see `gradient.accumulated`).
        sam_radius: of sharpness-aware minimisation (see `gradient.sharpness_aware`); None: without.
        ema_decay: of a moving average of the variables, below 1, evaluated beside the last ones; None: without.
        precise_batch_norm: training batches whose statistics each evaluation takes in the place of the running averages
            (see `precise`); None: without.
        on_nan: what a loss or gradient that is not finite does: 'stop' the run, or 'skip' that update.
        make_train_step: for methods that change the step itself; takes the arguments of `steps.make_train_step`.
        evaluate_every: steps between evaluations; None: only at the end.
        save_every: steps between checkpoints; None: only at the end (and when stopped).
        log_every: steps between lines of `metrics.jsonl`.
        keep: how many checkpoints stay on the disk.
        on_save_error: what a checkpoint that cannot be written does, the last one aside: 'stop' the run, or 'go_on'.
    """

    model: nn.Module
    data: Data
    optimizer: optax.GradientTransformation
    num_steps: int
    preprocess: Transform
    loss: Loss = optax.softmax_cross_entropy_with_integer_labels
    augment: Transform | None = None
    mix: Mix | None = None
    learning_rate: optax.Schedule | None = None
    accumulate: int = 1
    sam_radius: float | None = None
    ema_decay: float | None = None
    precise_batch_norm: int | None = None
    on_nan: OnNan = 'stop'
    make_train_step: Callable[..., Callable] = make_train_step
    evaluate_every: int | None = None
    save_every: int | None = None
    log_every: int = 1
    keep: int = 3
    on_save_error: Literal['stop', 'go_on'] = 'stop'

    def __post_init__(self):
        for name in (
            'num_steps',
            'evaluate_every',
            'save_every',
            'log_every',
            'keep',
            'accumulate',
            'precise_batch_norm',
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f'{name}: {value} is below 1; give at least 1')
        if self.data.batch_size % self.accumulate:
            raise ValueError(
                f'accumulate: {self.accumulate} parts do not divide a batch of {self.data.batch_size} images'
            )
        if self.sam_radius is not None and self.sam_radius <= 0:
            raise ValueError(f'sam_radius: {self.sam_radius} is not above 0; give None to train without')
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ValueError(f'ema_decay: {self.ema_decay} is not at least 0 and below 1; give None to train without')
        if self.on_nan not in get_args(OnNan):
            raise ValueError(f'on_nan: {self.on_nan!r} is not one of {", ".join(get_args(OnNan))}')

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images behind `preprocess`, as the model sees them."""
        images = jax.ShapeDtypeStruct((1, *self.data.image_shape), 'uint8')
        return jax.eval_shape(
            self.preprocess, jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1)), images
        ).shape[1:]

    def init_state(self, seed: int) -> TrainState:
        """The state before the first step; pure (see `steps.init_state`)."""
        return init_state(
            self.model,
            self.optimizer,
            preprocess=self.preprocess,
            image_shape=self.data.image_shape,
            seed=seed,
            with_ema=self.ema_decay is not None,
        )

    def training_inputs(self, batch: dict[str, jax.Array], rng: jax.Array) -> Inputs:
        """What the model is shown of a training batch; `rng` is the state's."""
        return training_inputs(batch, rng, preprocess=self.preprocess, augment=self.augment, mix=self.mix)

    def train_step(self) -> Callable:
        """The training step that `parallel.map_step` runs."""
        return self.make_train_step(
            model=self.model,
            optimizer=self.optimizer,
            loss=self.loss,
            preprocess=self.preprocess,
            augment=self.augment,
            mix=self.mix,
            learning_rate=self.learning_rate,
            accumulate=self.accumulate,
            sam_radius=self.sam_radius,
            ema_decay=self.ema_decay,
            on_nan=self.on_nan,
        )

    def eval_step(self) -> Callable:
        """The evaluation step that `parallel.map_eval` runs."""
        return make_eval_step(model=self.model, loss=self.loss, preprocess=self.preprocess)


class Loaded(NamedTuple):
    """An experiment with the name and the resolved options that made it."""

    experiment: Experiment
    name: str
    options: dict[str, Any]


def available() -> dict[str, str]:
    """Every experiment's name and the first line of its docstring, read without running the files."""
    found = {}
    for path in sorted(FOLDER.rglob('*.py')):
        if not path.name.startswith('_'):
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ''
            found[path.relative_to(FOLDER).with_suffix('').as_posix()] = docstring.partition('\n')[0]
    return found


def function(name: str) -> Callable[..., Experiment]:
    """The function `experiment` of a file below `experiments/`, or of an existing `.py` file.

    Raises:
        CnnJaxError: there is no such file, or it defines no `experiment`.
    """
    path = Path(name) if name.endswith('.py') else FOLDER / f'{name}.py'
    if not name.endswith('.py') and name not in available():
        raise CnnJaxError(unknown('experiment', name, available()) + '; or give the path of a .py file of your own')
    if not path.is_file():
        raise CnnJaxError(f'no such experiment file: {name}; give the path of a .py file, or a name that --list shows')
    module = _import(path)
    if not hasattr(module, 'experiment'):
        raise CnnJaxError(f'{path} defines no function experiment(*, ...); see CONTRIBUTING.md for the form')
    return module.experiment


def load(name: str, given: Mapping[str, Any]) -> Loaded:
    """Makes the experiment `name` with the options `given` (texts as typed, or values).

    Raises:
        CnnJaxError: an unknown experiment or option, or a value that does not fit.
    """
    make = function(name)
    resolved = options.resolve(options.signature(make), given)
    try:
        made = make(**resolved)
    except CnnJaxError:
        raise
    except ValueError as error:
        raise CnnJaxError(f'experiment {name}: {error}') from error
    recorded = str(Path(name).resolve()) if name.endswith('.py') else name
    return Loaded(made, recorded, resolved)


def _import(path: Path) -> Any:
    """The module of one file; experiments may import each other as `experiments.<name>`."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    path = path.resolve()
    if path.is_relative_to(FOLDER):
        return importlib.import_module('.'.join(path.relative_to(ROOT).with_suffix('').parts))
    spec = importlib.util.spec_from_file_location(f'experiment_{path.stem}', path)
    assert spec is not None  # a .py path always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
