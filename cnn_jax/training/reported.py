"""The page of a run made from its work folder alone: of one that has ended, was stopped, or still trains."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.devices import mapping
from cnn_jax.devices.feed import Feed
from cnn_jax.errors import CnnJaxError, DataError, StorageError
from cnn_jax.experiment import Loaded
from cnn_jax.report import write_report
from cnn_jax.report.microscope import Look, has_one_class
from cnn_jax.report.microscope.settings import DEFAULTS, Settings
from cnn_jax.training import restore, shown
from cnn_jax.training.choice import best_checkpoints
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.config import existing_config
from cnn_jax.workdir.lock import is_held
from cnn_jax.workdir.log import Log

EVERY_SECONDS = 60.0  # a page of a run that goes on is as old as this at most
LISTEN_SECONDS = 0.5  # between two looks at whether a signal has come


class Reporter:
    """Writes the page of one run, as often as it is asked to; nothing in `checkpoints/` changes.

    The test split is not opened anew: its numbers are on the page where the run itself has looked at them, at the end
    of its training, and they are computed again from the same checkpoint.

    Args:
        loaded: the experiment of the run.
        workdir: its folder.
        checkpoint: which of its weights, see `restore.read_state`.
        data_dir: where the data lies; where it is not there, the page is without what needs it.
        log: the console.
        poll: asked before each batch of an evaluation; may raise to stop.
        settings: of the microscope.
    """

    def __init__(
        self,
        loaded: Loaded,
        workdir: Path,
        *,
        checkpoint: str,
        data_dir: Path,
        log: Log,
        poll: Callable[[], None],
        settings: Settings = DEFAULTS,
    ):
        self._settings = settings
        self._loaded, self._workdir, self._which, self._log = loaded, workdir, checkpoint, log
        self._newest = checkpoint in (restore.LATEST, restore.RESULT)  # as far as the run has come
        self._setup = Setup(loaded.experiment, data_dir=data_dir, poll=poll, working=log.working)
        self._step: int | None = None
        self._variables: Mapping[str, Any] = {}
        self._results: Mapping[str, np.ndarray] = {}
        self._feed: Feed | None = None

    def write(self, *, costly: bool = True) -> Path:
        """Writes the page as the folder is now; its path.

        costly: with what takes long in the microscope, see `Look`.

        Raises:
            CnnJaxError: there is no such checkpoint.
            StorageError: the folder cannot be written, or no checkpoint is whole.
        """
        self._read()
        experiment = self._loaded.experiment
        run = shown.as_run(experiment, self._workdir, self._variables, self._results, self._feed)
        if self._feed is not None:
            run = shown.with_cases(run, experiment, self._feed)
        with self._log.working('the page') as task:
            return write_report(run, self._look(costly), told=lambda words: setattr(task, 'part', words))

    def _look(self, costly: bool) -> Look | None:
        """At the test images where the run has looked at them with these weights, else at those for choices."""
        experiment = self._loaded.experiment
        if self._step is None:
            return None
        split = 'test' if self._results else experiment.data.choosing_split
        try:
            feed, results = self._feed or self._setup.open_feed(seed=0), self._results
            if not results and not has_one_class(experiment.task):  # whose answers are read from the net as it is
                results = self._setup.evaluate(dict(self._variables), feed, split).results
            return shown.look_of(
                experiment, feed, split, step=self._step, workdir=self._workdir, costly=costly,
                variables=self._variables, results=results, settings=self._settings,
            )  # fmt: skip
        except DataError as error:
            self._log.say(f'the page is without the microscope: {error}')
            return None

    def _read(self) -> None:
        """The weights and what they do, where that is not what was read the last time."""
        if self._newest and not self._steps():
            self._log.say(f'no checkpoint in {self._workdir} yet: the page is without what the net has learned')
            return
        known = self._newest and self._steps()[-1] == self._step
        if known and self._was_opened(self._step) == bool(self._results):  # the test comes after the last checkpoint
            return
        with self._log.working('reading the checkpoint'):
            step, state = restore.read_state(
                self._loaded.experiment, self._workdir, self._setup.mesh, which=self._which, report=self._log.say
            )
        self._step, self._variables = step, mapping.fetch(state.variables)
        self._results = self._evaluated(state.variables) if self._was_opened(step) else {}

    def _steps(self) -> list[int]:
        regular = Checkpoints(self._workdir / 'checkpoints').steps()
        return regular or best_checkpoints(self._workdir).steps()

    def _was_opened(self, step: int | None) -> bool:
        """Whether the run has looked at the test split with these weights."""
        return any(entry.get('step') == step for entry in existing_config(self._workdir).get('test_openings', ()))

    def _evaluated(self, variables: Any) -> Mapping[str, np.ndarray]:
        try:
            self._feed = self._setup.open_feed(seed=0)
            return self._setup.evaluate(variables, self._feed, 'test').results
        except DataError as error:
            self._feed = None
            self._log.say(f'the page is without the test images: {error}')
            return {}


def follow(reporter: Reporter, workdir: Path, log: Log, poll: Callable[[], None]) -> Path:
    """Writes the page again each minute until nobody trains in the folder, and once more then; its path.

    Until then it is the cheap one: the run and its page share the machine.
    What cannot be read for once, such as a checkpoint that the run removes meanwhile, is said and tried again.
    """
    while is_held(workdir):
        try:
            log.say(f'{time.strftime("%H:%M:%S")}  {reporter.write(costly=False)}')
        except StorageError as error:
            log.say(f'{time.strftime("%H:%M:%S")}  not this time: {error}')
        _wait(workdir, poll)
    return reporter.write()


def _wait(workdir: Path, poll: Callable[[], None]) -> None:
    """Until the page is to be written again, or the run has ended."""
    until = time.monotonic() + EVERY_SECONDS
    while time.monotonic() < until and is_held(workdir):
        poll()
        time.sleep(LISTEN_SECONDS)


def check_follows(workdir: Path) -> None:
    """Raises CnnJaxError where no run trains in the folder."""
    if not is_held(workdir):
        raise CnnJaxError(
            f'--follow: nothing trains in {workdir} now; leave --follow out to write its page once, or start the run'
        )
