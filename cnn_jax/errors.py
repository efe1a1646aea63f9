"""The errors that a person can mend, each with the exit code that `main` ends with."""

import difflib
import errno
import re
from collections.abc import Iterable, Iterator


class CnnJaxError(ValueError):
    """What was typed is wrong: a flag, an option, a shape, a work folder of another run."""

    exit_code = 2


class DataError(CnnJaxError):
    """A data set is missing or unusable."""

    exit_code = 3


class DivergedError(CnnJaxError):
    """The loss or its gradient is no longer finite."""

    exit_code = 4


class StorageError(CnnJaxError):
    """The machine refuses: a folder is unwritable, full or locked, a checkpoint unreadable or corrupt."""

    exit_code = 5


class ShortageError(StorageError):
    """The machine gives no more memory, threads or open files; what was being read may be whole."""


class PeerError(CnnJaxError):
    """Another process of the run is lost, or did not answer in time."""

    exit_code = 6


def likely(name: str, choices: Iterable[str]) -> list[str]:
    """The few of `choices` that are most like `name`, the best first; [] if none is like it."""
    plain = {choice.lower(): choice for choice in reversed([*choices])}  # of equals the first
    return [plain[found] for found in difflib.get_close_matches(name.lower(), plain, n=3, cutoff=0.5)]


def closest(name: str, choices: Iterable[str]) -> list[str]:
    """All of `choices`, the ones most like `name` first and the rest in their own order."""
    choices = list(choices)
    near = likely(name, choices)
    return near + [choice for choice in choices if choice not in near]


def unknown(what: str, name: str, choices: Iterable[str], *, rest: str = '') -> str:
    """One line for a name that is not among `choices`: what was given, and what may be given.

    rest: a clause that says where all choices stand; with it only the likely ones are listed here.
    """
    listed = ', '.join(likely(name, choices) if rest else closest(name, choices) or ['none'])
    allowed = [f'choose from: {listed}'] if listed else []
    return '; '.join([f'unknown {what}: {name!r}', *allowed, *([rest] if rest else [])])


MEMORY = 'memory; end other programs, or make the batch smaller'
THREADS = 'threads, or memory for their stacks; end other programs, or raise the limit (ulimit -u)'
FILES = 'open files; raise the limit (ulimit -n)'
SHORT_OF = {errno.ENOMEM: MEMORY, errno.EAGAIN: THREADS, errno.EMFILE: FILES, errno.ENFILE: FILES}
MAPPING = 'failed to map segment from shared object(?!.*(not permitted|denied))|cannot map zero-fill pages'
SHORT_WORDS = (  # of Python, OpenCV, XLA, tensorstore, C++ and the loader, which have no type of error for it
    (r"can't start new thread|[Rr]esource temporarily unavailable|thread constructor failed", THREADS),
    (r'[Cc]annot allocate memory|bad_alloc|[Oo]ut ?[Oo]f ?[Mm]emory|[Ii]nsufficient memory', MEMORY),
    (f'{MAPPING}|cannot create shared object descriptor', MEMORY),
    (r'[Tt]oo many open files', FILES),
)


def check_shortage(error: BaseException) -> None:
    """Raises `ShortageError` if the machine's shortage is behind an error, however it was wrapped.

    A broad `except` that turns errors into those of a file calls it first: a good file must not be blamed, and nobody
    be told to delete it, because the machine was busy.
    """
    for one in _behind(error):
        if isinstance(one, ShortageError):
            raise one
        short = _short_of(one)
        if short:
            why = ' '.join(str(one).split())[:200] or type(one).__name__
            what = f'the machine gives no more {short}, then run the same command again ({why})'
            raise ShortageError(what) from error


def _short_of(error: BaseException) -> str | None:
    if isinstance(error, MemoryError | SystemError):  # the second is the interpreter's own, which got no memory
        return MEMORY
    if isinstance(error, OSError) and error.errno is not None:
        return SHORT_OF.get(error.errno)
    if not isinstance(error, Exception) or isinstance(error, CnnJaxError):
        return None
    return next((short for words, short in SHORT_WORDS if re.search(words, str(error))), None)


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
