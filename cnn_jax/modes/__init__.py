"""What the command line can do: one file for each mode, found by its name.

A mode is a module `cnn_jax/modes/<name>.py` with `FLAGS` and `run`; what else it may export is in `Mode`. Files whose
names begin with `_` are no modes. A mode imports what it works with inside `run`: all modes are imported for `--help`.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import Flag


class Mode(Protocol):
    """The module of a mode.

    A mode may also export `POLLS = True`: a signal is heard where the mode asks for it, and does not end it at once;
    `OUTLIVES_CONSOLE = True`: it goes on when nobody is there to be told; `GROUPS`, flags of the form
    `--NAME.OPTION=VALUE`; `TAKES_PATHS = True`: paths may stand beside the flags; `TAKES_OPTIONS = False`: there is no
    --experiment and no --config; `ENVIRONMENT`: variables that are set, where they are not, before JAX looks for
    devices; `details(flags) -> str`: what `--mode=NAME --help` shows below the flags.

    Attributes:
        FLAGS: beside those of all modes.
        run: does it.
    """

    FLAGS: Sequence[Flag]
    run: Callable[[Command], None]


class Traits(NamedTuple):
    """What a mode exports beside `FLAGS` and `run`; see `Mode`."""

    polls: bool
    outlives_console: bool
    groups: tuple[Flag, ...]
    takes_paths: bool
    takes_options: bool
    environment: dict[str, str]
    details: Callable[[Any], str]


def names() -> list[str]:
    """Every mode, in the order of the alphabet."""
    return sorted(path.stem for path in Path(__file__).parent.glob('*.py') if not path.name.startswith('_'))


def find(name: str) -> Mode:
    """The module of a mode; CnnJaxError for a name that is none."""
    if name not in names():
        raise CnnJaxError(unknown('mode', name, names()))
    module: Any = importlib.import_module(f'{__name__}.{name}')
    return module


def documents() -> dict[str, str]:
    """The docstring of each mode, by its name."""
    return {name: find(name).__doc__ or '' for name in names()}


def traits(mode: Mode) -> Traits:
    """What a mode exports beside `FLAGS` and `run`, with the usual values where it does not."""
    return Traits(
        getattr(mode, 'POLLS', False),
        getattr(mode, 'OUTLIVES_CONSOLE', False),
        getattr(mode, 'GROUPS', ()),
        getattr(mode, 'TAKES_PATHS', False),
        getattr(mode, 'TAKES_OPTIONS', True),
        getattr(mode, 'ENVIRONMENT', {}),
        getattr(mode, 'details', lambda flags: ''),
    )


def owners(flag: str) -> list[str]:
    """The modes that have a flag, or a group of flags such as `vary.`, of that name."""
    head, dot, _ = flag.partition('.')
    found = []
    for name in names():
        flags = traits(find(name)).groups if dot else find(name).FLAGS
        if head in [one.name for one in flags]:
            found.append(name)
    return found
