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
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from cnn_jax import options
from cnn_jax.data.augment import Batch
from cnn_jax.data.formats.remembered import Remembered, remembering
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.steps.evaluate import EvalStep, make_eval_step
from cnn_jax.steps.inputs import evaluation_inputs
from cnn_jax.steps.recipe import Recipe
from cnn_jax.steps.state import TrainState, init_state
from cnn_jax.steps.train import TrainStep, make_train_step
from cnn_jax.tasks import classification
from cnn_jax.tasks.task import Task

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'experiments'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(Recipe):
    """One run: a recipe (see there for its part of the attributes), its data, and when what is done.

    Attributes:
        data: where the images come from, and how many there are in a global batch.
        num_steps: optimizer steps in all; at least 1.
        precise_batch_norm: training batches whose statistics each evaluation takes in the place of the running averages
            (see `precise`); None: without.
        make_train_step: `recipe -> TrainStep`, for methods that change the step itself.
        evaluate_every: steps between evaluations; None: only at the end.
        save_every: steps between checkpoints; None: only at the end (and when stopped).
        log_every: steps between lines of `metrics.jsonl`.
        keep: how many checkpoints stay on the disk.
        on_save_error: what a checkpoint that cannot be written does, the last one aside: 'stop' the run, or 'go_on'.
    """

    task: Task = dataclasses.field(default_factory=classification.task)
    data: Data
    num_steps: int
    precise_batch_norm: int | None = None
    make_train_step: Callable[[Recipe], TrainStep] = make_train_step
    evaluate_every: int | None = None
    save_every: int | None = None
    log_every: int = 1
    keep: int = 3
    on_save_error: Literal['stop', 'go_on'] = 'stop'

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ('num_steps', 'evaluate_every', 'save_every', 'log_every', 'keep', 'precise_batch_norm'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f'{name}: {value} is below 1; give at least 1')
        if self.data.batch_size % self.accumulate:
            raise ValueError(
                f'accumulate: {self.accumulate} parts do not divide a batch of {self.data.batch_size} images'
            )
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
        return init_state(self, self._row(), seed)

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


def load(name: str, given: Mapping[str, Any], *, known: Remembered | None = None) -> Loaded:
    """Makes the experiment `name` with the options `given` (texts as typed, or values).

    known: of the run that it is made for again, so that its images need not be there.

    Raises:
        CnnJaxError: an unknown experiment or option, or a value that does not fit.
    """
    make = function(name)
    resolved = options.resolve(options.signature(make), given)
    try:
        with remembering(known):
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
