"""The clock of training, and the metrics on their way from the devices to the log."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from cnn_jax.experiment import Experiment
from cnn_jax.workdir.log import Log

RATE_WINDOW_SECONDS = 2.0  # images per second are averaged over at least this long
CHECKED = ('loss', 'gradient_norm', 'skipped')  # read for every step, whether it is logged or not
MOST_SKIPPED_IN_A_ROW = 3  # with on_nan='skip'; then nothing is learned any more


class NotFinite(Exception):
    """The loss or the gradient of a step is not a finite number.

    Attributes:
        step: the number of the step, counted from 1.
        skipped: whether the step changed nothing, like those before it.
    """

    def __init__(self, step: int, what: str, *, skipped: bool = False):
        super().__init__(f'{what} at step {step}')
        self.step, self.skipped = step, skipped


class Meter:
    """The clock of training, and the metrics on their way from the devices to the logs of the runs.

    The scalars of a step are read when those of the next logged step are handed in: by then they are there, and the
    devices never wait for the host. Of several runs that advance together each scalar is an array (runs,), and each
    run has an equal share of the time.

    Args:
        experiment: of the runs.
        logs: who is told, one for each run.
        seconds: training time of the attempts before.
        skipped: called with a run, the number of a step that changed nothing, and what was not finite in it.
        broken: called with a run and its NotFinite.
    """

    def __init__(
        self,
        experiment: Experiment,
        logs: Sequence[Log],
        *,
        seconds: float,
        skipped: Callable[[int, int, str], None],
        broken: Callable[[int, NotFinite], None],
    ):
        self._experiment, self._logs, self._tell_skipped, self._tell_broken = experiment, logs, skipped, broken
        self._waiting: tuple[int, float, dict[str, jax.Array]] | None = None
        self._unchecked: list[tuple[int, dict[str, jax.Array]]] = []
        self._skipped_in_a_row = [0] * len(logs)
        self._alive = [True] * len(logs)
        self._begin = time.monotonic() - seconds * len(logs)
        self._data_wait, self._last_share = 0.0, seconds
        self._marks: list[tuple[float, int]] = []

    @property
    def seconds(self) -> float:
        """A run's training time so far, over all attempts, evaluations left out."""
        return (time.monotonic() - self._begin) / len(self._logs)

    def pause(self, seconds: float) -> None:
        """Leaves out what was not training."""
        self._begin += seconds

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what waits for a batch."""
        begin = time.monotonic()
        yield
        self._data_wait += (time.monotonic() - begin) / len(self._logs)

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Takes the scalars of the step that ended as number `step`; the ones before go to the log."""
        self._unchecked.append((step, {name: metrics[name] for name in CHECKED if name in metrics}))
        if step % self._experiment.log_every == 0 or step == self._experiment.num_steps:
            self._write()
            self._waiting = (step, self.seconds, metrics)

    def flush(self) -> None:
        """Reads and logs what is on its way, and checks every step so far."""
        self._write()
        self._check()

    def end(self, run: int) -> None:
        """Nothing more is logged of a run."""
        self.flush()
        self._alive[run] = False

    def _write(self) -> None:
        """Logs the step that waits, and checks the steps up to it: the devices have done them."""
        if self._waiting is None:
            return
        step, seconds, device_metrics = self._waiting
        self._waiting = None
        metrics = {name: np.ravel(value) for name, value in jax.device_get(device_metrics).items()}
        rate, wait = self._images_per_second(step), self._share_waited()
        found = {}
        for run in self._runs():
            found[run] = {name: float(value[run]) for name, value in metrics.items()}
            self._logs[run].metrics(step, 'train', seconds, **found[run], images_per_second=rate, data_wait=wait)
        self._check(up_to=step)
        left = (self._experiment.num_steps - step) * self._experiment.data.batch_size / rate if rate else None
        for run in self._runs():
            words = self._experiment.task.progress(found[run])
            total = self._experiment.num_steps
            self._logs[run].advance(step, total, words, images_per_second=rate, seconds_left=left)

    def _runs(self) -> list[int]:
        """Those that are not broken."""
        return [run for run, alive in enumerate(self._alive) if alive]

    def _share_waited(self) -> float:
        """The fraction of the time since the last call that the loop spent waiting for batches."""
        share = self._data_wait / max(self.seconds - self._last_share, 1e-9)
        self._data_wait, self._last_share = 0.0, self.seconds
        return round(share, 4)

    def _images_per_second(self, step: int) -> float:
        now = self.seconds
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[1][0] > RATE_WINDOW_SECONDS:
            self._marks.pop(0)
        (begin, first), images = self._marks[0], self._experiment.data.batch_size
        return round((step - first) * images / (now - begin), 1) if step > first else 0.0

    def _check(self, *, up_to: int | None = None) -> None:
        """Looks at the steps that nobody has looked at, and counts those that changed nothing."""
        done = [entry for entry in self._unchecked if up_to is None or entry[0] <= up_to]
        self._unchecked = self._unchecked[len(done) :]
        for step, values in jax.device_get(done):
            for run in self._runs():
                self._check_run(run, step, {name: np.ravel(value)[run] for name, value in values.items()})

    def _check_run(self, run: int, step: int, values: dict[str, float]) -> None:
        bad = [name for name in ('loss', 'gradient_norm') if not np.isfinite(values.get(name, 0.0))]
        what = f'{bad[0].replace("_", " ")} is {values[bad[0]]}' if bad else 'not finite'
        if not values.get('skipped', 0.0):
            self._skipped_in_a_row[run] = 0
            if bad:
                self._break(run, NotFinite(step, what))
            return
        self._skipped_in_a_row[run] += 1
        self._tell_skipped(run, step, what)
        if self._skipped_in_a_row[run] == MOST_SKIPPED_IN_A_ROW:
            text = f'{what}, after {MOST_SKIPPED_IN_A_ROW} skipped steps in a row'
            self._break(run, NotFinite(step, text, skipped=True))

    def _break(self, run: int, error: NotFinite) -> None:
        self._alive[run] = False
        self._tell_broken(run, error)
