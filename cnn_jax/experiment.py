"""An experiment: model, data, optimizer and recipe of one run, as real objects, made by a function in a file.

A file below `experiments/` (or a `.py` file of your own) defines `experiment(*, ...) -> Experiment`. Its keyword
arguments are its options; what it derives from them (a learning rate from the batch size) it computes itself.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from cnn_jax import experiment_file, options
from cnn_jax.data.augment import Batch
from cnn_jax.data.formats.remembered import Remembered, remembering
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment_file import available
from cnn_jax.steps.evaluate import EvalStep, make_eval_step
from cnn_jax.steps.inputs import evaluation_inputs
from cnn_jax.steps.recipe import Recipe
from cnn_jax.steps.state import TrainState, init_state
from cnn_jax.steps.train import TrainStep, make_train_step
from cnn_jax.tasks import classification
from cnn_jax.tasks.task import Task

__all__ = ['Experiment', 'Loaded', 'available', 'function', 'load', 'module']

COUNTS = ('num_steps', 'evaluate_every', 'patience', 'save_every', 'log_every', 'keep', 'precise_batch_norm')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(Recipe):
    """One run: a recipe (see there for its part of the attributes), its data, and when what is done.

    Attributes:
        data: where the images come from, and how many there are in a global batch.
        num_steps: optimizer steps in all; at least 1.
        precise_batch_norm: training batches whose statistics each evaluation takes in the place of the running averages
            (see `precise`); None: without.
        make_train_step: `recipe -> TrainStep`, for methods that change the step itself.
        evaluate_every: steps between evaluations, of the split that choices look at (`Data.choosing_split`); None: only
            at the end.
        patience: evaluations without a better one that end the run, whose result is then its best checkpoint; None: it
            goes to the last step. Needs a validation split.
        save_every: steps between checkpoints; None: only at the end (and when stopped).
        log_every: steps between lines of `metrics.jsonl`.
        keep: how many checkpoints stay on the disk.
        history: at how many steps the variables are kept besides, as small files for pictures of training: the first,
            the last, and between them by equal factors (see `workdir.history`); at least 2. None: at none. An
            ablation's runs keep none.
        read_back: whether each checkpoint is read again after its save and compared, which takes the memory of a second
            state; None: if it has less than 64 MiB.
        on_save_error: what a checkpoint that cannot be written does, the last one aside: 'stop' the run, or 'go_on'.
        init_from: what a new run takes its weights from, a file or a run, as `--init_from`, which comes first; None:
            from the seed.
        init_hint: what to do where that file is not there, in words.
    """

    task: Task = dataclasses.field(default_factory=classification.task)
    data: Data
    num_steps: int
    precise_batch_norm: int | None = None
    make_train_step: Callable[[Recipe], TrainStep] = make_train_step
    evaluate_every: int | None = None
    patience: int | None = None
    save_every: int | None = None
    log_every: int = 1
    keep: int = 3
    history: int | None = None
    read_back: bool | None = None
    on_save_error: Literal['stop', 'go_on'] = 'stop'
    init_from: str | None = None
    init_hint: str = ''

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f'{name}: {value} is below 1; give at least 1')
        if self.history is not None and self.history < 2:
            raise ValueError(f'history: {self.history} given; give at least 2, the first and the last step, or None')
        if self.data.batch_size % self.accumulate:
            raise ValueError(
                f'accumulate: {self.accumulate} parts do not divide a batch of {self.data.batch_size} images'
            )
        if self.patience is not None and 'validation' not in self.data.splits:
            raise CnnJaxError(
                f'patience: {self.data.name} has no validation split, and nothing is chosen on the test split; hold '
                'some images out (the option validation), or leave patience out'
            )
        if self.patience is not None and self.evaluate_every is None:
            raise ValueError('patience: it counts evaluations, and there are none before the end; give evaluate_every')
        self.task.check(self.data)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images behind `preprocess`, as the model sees them."""
        return jax.eval_shape(lambda: evaluation_inputs(self._row(), preprocess=self.preprocess)['image']).shape[1:]

    def batch_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes and types of a training batch as it comes from the data."""
        size = self.data.batch_size
        return {
            name: jax.ShapeDtypeStruct((size, *shape), dtype) for name, (shape, dtype) in self.data.row_shapes().items()
        }

    def _row(self) -> Batch:
        """A batch of one row, all zeros."""
        return {name: jnp.zeros((1, *shape), dtype) for name, (shape, dtype) in self.data.row_shapes().items()}

    def init_state(self, seed: int) -> TrainState:
        """The state before the first step; pure (see `steps.state.init_state`)."""
        return self.first_state(jax.random.key(seed))

    @functools.cached_property
    def first_state(self) -> Callable[[jax.Array], TrainState]:
        """`key -> state before the first step`, of the key of a seed.

        It is one and the same function each time, whose trace JAX keeps: the net is traced once for the shapes of the
        state and for its values.
        """
        return lambda key: init_state(self, self._row(), key)

    def state_shapes(self) -> TrainState:
        """The shapes and types of the state; nothing is computed."""
        return jax.eval_shape(self.first_state, jax.eval_shape(jax.random.key, 0))

    def train_step(self) -> TrainStep:
        """The training step that `mapping.map_step` runs."""
        return self.make_train_step(self)

    def eval_step(self) -> EvalStep:
        """The evaluation step that `mapping.map_eval` runs."""
        return make_eval_step(self)


class Loaded(NamedTuple):
    """An experiment with the name and the resolved options that made it."""

    experiment: Experiment
    name: str
    options: dict[str, Any]

    def with_fold(self, fold: int) -> 'Loaded':
        """The same with other images held out for validation (see `Data.with_fold`)."""
        data = self.experiment.data.with_fold(fold)
        return self._replace(experiment=dataclasses.replace(self.experiment, data=data))


def module(name: str) -> Any:
    """The module of a file below `experiments/`, or of an existing `.py` file; errors as in `function`."""
    return experiment_file.run(experiment_file.find(name))


def function(name: str) -> Callable[..., Experiment]:
    """The function `experiment` of a file below `experiments/`, or of an existing `.py` file.

    Raises:
        CnnJaxError: there is no such file, it fails, it defines no `experiment`, or one that cannot be given options;
            later, of the function: an option that it has not.
    """
    found = module(name)
    if not callable(getattr(found, 'experiment', None)):
        raise CnnJaxError(
            f'{experiment_file.find(name)} defines no function experiment(*, ...); see CONTRIBUTING.md for the form'
        )
    try:
        known = options.signature(found.experiment)
    except ValueError as error:
        raise CnnJaxError(f'{experiment_file.find(name)}: {error}') from error
    return _checking_names(found.experiment, known)


def _checking_names(make: Callable[..., Experiment], known: list[options.Option]) -> Callable[..., Experiment]:
    """The function, which says of an unknown option what the command line says."""

    @functools.wraps(make)
    def made(*args: Any, **given: Any) -> Experiment:
        options.check_known(known, given)
        return make(*args, **given)

    return made


def load(name: str, given: Mapping[str, Any], *, known: Remembered | None = None) -> Loaded:
    """Makes the experiment `name` with the options `given` (texts as typed, or values).

    known: of the run that it is made for again, so that its images need not be there.

    Raises:
        CnnJaxError: an unknown experiment or option, a value that does not fit, or a file of one's own that fails.
    """
    make, path = function(name), experiment_file.find(name)
    resolved = options.resolve(options.signature(make), given)
    try:
        with (
            remembering(known),
            experiment_file.beside(path),
            experiment_file.explained(path, but=(ValueError,)),
        ):
            made = make(**resolved)
    except CnnJaxError:
        raise
    except (ValueError, ArithmeticError) as error:  # the latter of an option that is huge, or zero
        raise CnnJaxError(f'experiment {name}: {error}') from error
    if not isinstance(made, Experiment):
        raise CnnJaxError(f'{path}: experiment() returned {type(made).__name__}; it must return an Experiment')
    return Loaded(made, str(path) if experiment_file.is_own(name) else name, resolved)
