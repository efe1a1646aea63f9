"""What a run says: `metrics.jsonl` for programs, `log.txt` and the console for people. Only the main process writes."""

import contextlib
import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnn_jax.drawing.words import duration, printable
from cnn_jax.errors import StorageError
from cnn_jax.files.whole import not_through_links, write_whole
from cnn_jax.workdir import sinks
from cnn_jax.workdir.progress import Bars, Row, Task, in_lines
from cnn_jax.workdir.sinks import Sink

METRICS = 'metrics.jsonl'
PLAIN_EVERY_SECONDS = 10.0  # a line of progress where there is no terminal to draw a bar on


class Log:
    """Writes the files of one work folder and the console.

    Args:
        workdir: an existing folder; None: the console only.
        enabled: False in every process but the main one: then all methods do nothing.
        quiet: what is said goes to `log.txt` alone, and no progress is shown: for runs of which there are many.
        log_to: names of `sinks` that get the metrics too.
    """

    def __init__(
        self, workdir: Path | None, *, enabled: bool = True, quiet: bool = False, log_to: tuple[str, ...] = ()
    ):
        self._enabled = enabled
        self._log_to = log_to
        self._sinks: dict[str, Sink] = {}
        self._quiet = quiet
        self._workdir = workdir
        self._bars = Bars()
        self._row: Row | None = None  # of the steps
        self._last_plain = time.monotonic()

    def say(self, text: str) -> None:
        """One line for people: to the console, and to `log.txt` with the time of day."""
        if not self._enabled:
            return
        text = printable(text)
        if self._quiet:
            pass
        elif self._bars.active:
            self._bars.say(text)
        else:
            print(text, flush=True)
        self.note(text)

    def note(self, text: str) -> bool:
        """Text for `log.txt` alone; whether there is one."""
        if not self._enabled or self._workdir is None:
            return False
        with open(self._workdir / 'log.txt', 'a', encoding='utf-8', opener=not_through_links) as file:
            file.write(f'{time.strftime("%Y-%m-%d %H:%M:%S")} {printable(text)}\n')
        return True

    def listen(self) -> None:
        """Says until `close` what the modules of this package tell, such as an image that cannot be decoded."""
        logger = logging.getLogger('cnn_jax')
        logger.handlers[:] = [_Said(self)] if self._enabled else []
        logger.setLevel(logging.INFO if self._enabled else logging.NOTSET)
        logger.propagate = not self._enabled  # some libraries make the root logger print: nothing is said twice

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Says a line that the modules tell once while the block runs: the runs of a grid all tell the same."""
        heard = [one for one in logging.getLogger('cnn_jax').handlers if isinstance(one, _Said) and one.log is self]
        for one in heard:
            one.said = set()
        try:
            yield
        finally:
            for one in heard:
                one.said = None

    def metrics(self, step: int, split: str, seconds: float, **values: float) -> None:
        """One line of `metrics.jsonl`: `step`, `seconds` of training, `split`, then the values."""
        if self._enabled and self._workdir is not None:
            line = {'step': step, 'seconds': round(seconds, 3), 'split': split, **values}
            line = {name: _tidy(value) for name, value in line.items()}
            with open(self._workdir / METRICS, 'a', encoding='utf-8', opener=not_through_links) as file:
                file.write(json.dumps(line) + '\n')
            for name in self._log_to:
                self._hand_on(name, line, self._workdir)

    def _hand_on(self, name: str, line: dict[str, Any], workdir: Path) -> None:
        """Gives a line to a sink; one that fails is left out from then on: it must not end the run."""
        try:
            if name not in self._sinks:
                self._sinks[name] = sinks.open_sink(name, workdir, line['step'])
            self._sinks[name].write(line)
        except Exception as error:
            self._log_to = tuple(other for other in self._log_to if other != name)
            self._sinks.pop(name, None)
            self.say(f'warning: no more metrics go to {name}: {" ".join(str(error).split())[:200]}')

    def close(self) -> None:
        """Ends the sinks and the listening."""
        logger = logging.getLogger('cnn_jax')
        if any(isinstance(handler, _Said) and handler.log is self for handler in logger.handlers):
            logger.handlers[:], logger.propagate = [], True
            logger.setLevel(logging.NOTSET)
        for name, sink in self._sinks.items():
            try:
                sink.close()
            except Exception as error:
                self.say(f'warning: {name} could not be ended: {" ".join(str(error).split())[:200]}')
        self._sinks = {}

    def cut_back(self, step: int) -> list[dict[str, Any]]:
        """Drops what was logged after `step` (a run that resumes logs it again); the lines that are left.

        A last line that was cut off by a kill is dropped too.
        """
        if self._workdir is None:
            return []
        lines = [line for line in read_metrics(self._workdir) if line['step'] <= step]
        if self._enabled and (self._workdir / METRICS).exists():
            text = ''.join(json.dumps(line) + '\n' for line in lines)
            write_whole(self._workdir / METRICS, text)
        return lines

    @contextlib.contextmanager
    def progress(self, num_steps: int, start: int) -> Iterator[None]:
        """Shows a bar on a terminal while the block runs; elsewhere `advance` prints a plain line now and then."""
        if not self._shows or not sys.stdout.isatty():
            yield
            return
        with self._bars.row(Task('training', num_steps), stays=True) as self._row:
            self._row.update(start, '')
            try:
                yield
            finally:
                self._row = None

    @contextlib.contextmanager
    def working(self, words: str, total: int | None = None, /) -> Iterator[Task]:
        """Says that something goes on while the block runs, see `progress.Working`: on a terminal a row, else lines."""
        task = Task(words, total)
        if not self._shows:
            yield task
        elif sys.stdout.isatty():
            with self._bars.row(task):
                yield task
        else:
            with in_lines(task, self.say):
                yield task

    @property
    def _shows(self) -> bool:
        return self._enabled and not self._quiet

    def advance(
        self,
        step: int,
        num_steps: int,
        words: str,
        *,
        images_per_second: float = 0.0,
        seconds_left: float | None = None,
    ) -> None:
        """Says where training is: the bar, or a plain line if the last one is some seconds old.

        words: of the loss and the metrics of the batch.
        """
        if not self._shows:
            return
        if self._row is not None:
            self._row.update(step, describe_progress(words, images_per_second, seconds_left))
        elif time.monotonic() - self._last_plain > PLAIN_EVERY_SECONDS:
            self._last_plain = time.monotonic()
            self.say(f'step {step}/{num_steps}  {describe_progress(words, images_per_second, seconds_left)}')


class _Said(logging.Handler):
    """Hands what is told to a log, from other threads too."""

    def __init__(self, log: Log):
        super().__init__(logging.INFO)
        self.log = log
        self.said: set[str] | None = None  # where nothing is said twice

    def emit(self, record: logging.LogRecord) -> None:
        text = f'{"warning: " if record.levelno >= logging.WARNING else ""}{record.getMessage()}'
        if self.said is not None and text in self.said:
            return
        if self.said is not None:
            self.said.add(text)
        self.log.say(text)


def describe_progress(words: str, images_per_second: float, seconds_left: float | None) -> str:
    """Loss and metrics of the batch, speed and time left, in one short text."""
    parts = [words]
    parts += [f'{images_per_second:,.0f} images/s'] if images_per_second else []
    parts += [f'{duration(seconds_left)} left'] if seconds_left is not None else []
    return '  '.join(parts)


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`; a last one that a kill cut short is left out.

    Raises:
        StorageError: another line is none of ours, or the file cannot be read.
    """
    path = workdir / METRICS
    try:
        texts = path.read_bytes().split(b'\n') if path.exists() else [b'']
    except OSError as error:
        raise StorageError(f'cannot read {path}: {error.strerror}; mend its rights') from error
    return [_metrics_line(text, f'{path}, line {number}') for number, text in enumerate(texts[:-1], 1)]


def _metrics_line(text: bytes, where: str) -> dict[str, Any]:
    try:
        line = json.loads(text.decode())
        if not isinstance(line, dict) or not all(_fits(name, value) for name, value in line.items()):
            raise ValueError('not a step with its values')
        if missing := {'step', 'seconds', 'split'} - set(line):
            raise ValueError(f'no {", ".join(sorted(missing))}')
        return line
    except (ValueError, RecursionError) as error:
        raise StorageError(f'cannot read {where}: {error}; mend that line, or take it out') from error


def _fits(name: str, value: Any) -> bool:
    """Whether a value of a line is of its kind."""
    if name == 'step':
        return type(value) is int and 0 <= value < 2**63
    if name == 'seconds':
        return isinstance(value, int | float)
    if name == 'split':
        return isinstance(value, str)
    return value is None or isinstance(value, int | float | str)


def _tidy(value: Any) -> Any:
    """Python numbers; what is not finite becomes None, since JSON has no word for it."""
    if isinstance(value, int | str):
        return value
    return float(value) if math.isfinite(value) else None
