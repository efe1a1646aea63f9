"""The errors that a person can mend, each with the exit code that `main` ends with."""

import difflib
from collections.abc import Iterable


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


class PeerError(CnnJaxError):
    """Another process of the run is lost, or did not answer in time."""

    exit_code = 6


def closest(name: str, choices: Iterable[str]) -> list[str]:
    """All of `choices`, the ones most like `name` first and the rest in their own order."""
    choices = list(choices)
    plain = {choice.lower(): choice for choice in reversed(choices)}  # of equals the first
    near = [plain[found] for found in difflib.get_close_matches(name.lower(), plain, n=3, cutoff=0.5)]
    return near + [choice for choice in choices if choice not in near]


def unknown(what: str, name: str, choices: Iterable[str]) -> str:
    """One line for a name that is not among `choices`: what was given, and what may be given."""
    listed = ', '.join(closest(name, choices)) or 'none'
    return f'unknown {what}: {name!r}; choose from: {listed}'
