"""What a person sees while something takes its time: rows with bars on a terminal, elsewhere a line now and then.

Nothing here is called for a training step; the seconds are counted by a thread of their own.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cnn_jax.drawing.words import duration, printable

SAY_AFTER_SECONDS = 2.0  # what ends sooner is not mentioned where there is no terminal
SAY_EVERY_SECONDS = 10.0


class Task:
    """Something that goes on: in what words, how many parts it has, how many are done, and what is in hand."""

    def __init__(self, words: str, total: int | None = None):
        self.words, self.total = words, total
        self.done, self.part = 0, ''
        self._in_hand = 0
        self._begin = time.monotonic()

    def next(self, part: str = '', count: int = 1) -> None:
        """One more part begins, or so many at once; those before are done."""
        self.done, self._in_hand, self.part = self.done + self._in_hand, count, part

    def finish(self) -> None:
        """One more part is done, where several are in hand at once."""
        self.done += 1

    @property
    def number(self) -> int:
        """Of the part in hand, from 1; 0 before the first."""
        return self.done + (self._in_hand > 0)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begin

    def __str__(self) -> str:
        """'drawing 2/4 gradient', 'compiling'."""
        count = f'{self.number}/{self.total}' if self.total else f'{self.number or ""}'
        return ' '.join(part for part in (self.words, count, self.part) if part)

    @property
    def beside_bar(self) -> str:
        """The same without what the bar shows, and with the seconds: 'drawing gradient, 12 s'."""
        count = '' if self.total else f'{self.number or ""}'
        return ' '.join(part for part in (self.words, count, self.part) if part) + f', {duration(self.seconds)}'


class Working(Protocol):
    """`with working('evaluating', 40) as task: ...`: says that this goes on; the block calls `task.next()`."""

    def __call__(self, words: str, total: int | None = None, /) -> AbstractContextManager[Task]: ...


@contextlib.contextmanager
def silent(words: str, total: int | None = None, /) -> Iterator[Task]:
    """For those who are told nothing."""
    yield Task(words, total)


@contextlib.contextmanager
def in_lines(task: Task, say: Callable[[str], None]) -> Iterator[Task]:
    """Says the task once it has taken some seconds, then now and then, and at last how long it took."""
    ended, said = threading.Event(), threading.Event()

    def tell() -> None:
        wait = SAY_AFTER_SECONDS
        while not ended.wait(wait):
            _try_to(say, f'{task}, {duration(task.seconds)}' if said.is_set() else f'{task} ...')
            said.set()
            wait = SAY_EVERY_SECONDS

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield task
    finally:
        ended.set()
        thread.join()
    if said.is_set():
        _try_to(say, f'{task.words}: done, {duration(task.seconds)}')


def _try_to(say: Callable[[str], None], text: str) -> None:
    with contextlib.suppress(OSError):  # of a full disk, which the run itself meets too
        say(text)


class Bars:
    """Rows on a terminal, one for each thing that goes on at the same time."""

    def __init__(self) -> None:
        self._shown: Any = None  # of `rich`, which is imported when the first row is shown
        self._lines: list[str] = []

    @property
    def active(self) -> bool:
        """Whether a row is on the screen."""
        return self._shown is not None

    def say(self, text: str) -> None:
        """A line above the rows."""
        self._shown.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def row(self, task: Task, *, stays: bool = False) -> Iterator['Row']:
        """A row while the block runs, and afterwards if it `stays`."""
        outermost = self._shown is None
        if outermost:
            self._shown = _rows(transient=not stays)
            self._shown.start()
        shown = self._shown
        row = Row(shown, shown.add_task('', total=task.total, shown=task))
        try:
            yield row
        finally:
            if outermost:
                self._shown = None
                shown.stop()
            else:
                shown.remove_task(row.number)


class Row:
    """A row on a terminal."""

    def __init__(self, shown: Any, number: Any):
        self._shown, self.number = shown, number

    def update(self, done: int, words: str) -> None:
        """How much is done, in words behind the bar."""
        self._shown.update(self.number, completed=done, description=words)


def _rows(*, transient: bool) -> Any:
    """The columns: a count, a bar, words. A task without words of its own shows its own text and its seconds."""
    from rich.progress import BarColumn, Progress, ProgressColumn
    from rich.progress import Task as Shown
    from rich.table import Column
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Shown) -> Text:
            shown: Task = task.fields['shown']
            done = int(max(task.completed, shown.done))
            task.completed = done  # parts that `Task.next` has counted move the bar
            return Text(f'{done}/{task.total:.0f}' if task.total else '')

    class Words(ProgressColumn):
        def render(self, task: Shown) -> Text:
            shown: Task = task.fields['shown']
            return Text(printable(task.description or shown.beside_bar))

    return Progress(Count(), BarColumn(24), Words(table_column=Column(no_wrap=True)), transient=transient)
