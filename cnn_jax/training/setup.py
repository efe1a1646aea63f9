"""An experiment on the devices: the one assembly of mesh, state, steps, data and evaluation for all who train or
evaluate.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax.devices import mapping
from cnn_jax.devices.feed import Feed, open_feed
from cnn_jax.evaluation.evaluate import evaluate
from cnn_jax.experiment import Experiment
from cnn_jax.steps import precise
from cnn_jax.steps.state import TrainState
from cnn_jax.steps.train import TrainStep
from cnn_jax.tasks.results import Evaluation
from cnn_jax.training import states
from cnn_jax.workdir.progress import Working, silent


class Setup:
    """An experiment, the devices, and the compiled functions; what several runs of it share.

    Args:
        experiment: what is trained or evaluated.
        data_dir: where its data set lies.
        parallel: how a step is mapped over the devices.
        num_devices: the first so many; None: all.
        eval_batch_size: global, any number; None: the training batch size.
        poll: asked before each batch of an evaluation; may raise to stop.
        working: told what takes its time.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        data_dir: Path,
        parallel: mapping.Parallel = 'mapped',
        num_devices: int | None = None,
        eval_batch_size: int | None = None,
        poll: Callable[[], None] = lambda: None,
        working: Working = silent,
    ):
        self.experiment, self.data_dir, self.poll = experiment, data_dir, poll
        self.working: Working = working
        self.parallel: mapping.Parallel = parallel
        self.mesh = mapping.make_mesh(num_devices)
        self.eval_batch_size = eval_batch_size or experiment.data.batch_size
        self._initialized = False
        self._feed: Feed | None = None

    @functools.cached_property
    def like(self) -> TrainState:
        """Shapes, types and shardings of the state; CnnJaxError where the model does not fit the images."""
        return states.abstract_state(self.experiment, self.mesh, self.parallel)

    @functools.cached_property
    def step(self) -> TrainStep:
        """One device's view of a training step."""
        return self.experiment.train_step()

    @functools.cached_property
    def train_step(self) -> Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]:
        """`(state, batch) -> (state, metrics)` on the devices; donates the state.

        Raises:
            CnnJaxError: the devices do not divide the batch, or the loss does not fit the task.
        """
        mapping.check_divides(self.experiment.data.batch_size, self.mesh)
        self.experiment.task.check_loss(self.experiment.data)
        return mapping.map_step(self.step, self.mesh, parallel=self.parallel)

    @functools.cached_property
    def eval_step(self) -> Callable[[Any, Any], dict[str, jax.Array]]:
        """`(variables, batch) -> results of each image` on the devices."""
        return mapping.map_eval(self.experiment.eval_step(), self.mesh, parallel=self.parallel)

    def open_feed(self, seed: int, fold: int | None = None) -> Feed:
        """The data of a run with that seed; what several runs see is opened once.

        fold: of the images that are held out for validation; None: the experiment's.
        """
        data = self.experiment.data if fold is None else self.experiment.data.with_fold(fold)
        if self._feed is None or self._feed.data.fold != data.fold:
            self._feed = open_feed(data, data_dir=self.data_dir, seed=seed, mesh=self.mesh)
        return self._feed.for_seed(seed)

    def initial_state(self, seed: int) -> TrainState:
        """The state before the first step; from the second seed on with one compiled function for all."""
        if not self._initialized:
            self._initialized = True
            return states.initial_state(self.experiment, self.like, seed=seed)
        return self._init(np.uint32(seed))

    @functools.cached_property
    def _init(self) -> Callable[[np.uint32], TrainState]:
        return jax.jit(self.experiment.init_state, out_shardings=states.shardings_of(self.like))

    def evaluate(self, variables: dict[str, Any], feed: Feed, split: str = 'test') -> Evaluation:
        """What variables do on a split."""
        batches = feed.all_of(split, self.eval_batch_size)
        task, data = self.experiment.task, self.experiment.data
        with self.working('evaluating', feed.num_batches(split, self.eval_batch_size)) as told:

            def poll() -> None:
                self.poll()
                told.next()

            return evaluate(self.eval_step, variables, batches, task=task, data=data, poll=poll)

    def evaluate_state(self, state: TrainState, step: int, feed: Feed, split: str) -> dict[str, Evaluation]:
        """What a state is worth after so many steps, by name: `split`, and `split`_ema of its moving average.

        The second only where it has one. Precise BatchNorm, where the experiment wants it, takes the training batches
        that come after the step.
        """
        found = {split: self.evaluate(self._precise(state.variables, step, feed), feed, split)}
        if state.ema is not None:
            found[f'{split}_ema'] = self.evaluate(self._precise(state.ema_variables, step, feed), feed, split)
        return found

    def _precise(self, variables: dict[str, Any], step: int, feed: Feed) -> dict[str, Any]:
        count = self.experiment.precise_batch_norm
        if count is None or precise.STATISTICS not in variables:
            return variables
        with self.working('statistics of BatchNorm, batch', count) as told:

            def batches() -> Iterator[Any]:
                for more in range(count):
                    told.next()
                    yield feed.train(step + more)

            return precise.precise_variables(variables, batches(), self._pass)

    @functools.cached_property
    def _pass(self) -> precise.Pass:
        return precise.make_pass(self.step, self.mesh)
