"""Which experiment files a work folder may have run.

A work folder is data, and anyone may have written it. The file that it names is run if this user has trained with it
and it has not changed since; the user's cache knows that, and no work folder does.
"""

import contextlib
import contextvars
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

from cnn_jax import experiment_file
from cnn_jax.errors import CnnJaxError
from cnn_jax.files import cache
from cnn_jax.files.whole import write_whole

MOST_STATES = 20  # of one file, which is edited and trained with again and again

State = dict[str, str]
"""An experiment file and the modules beside it, by path: the SHA-256 of each."""

_everything = contextvars.ContextVar('everything', default=False)

log = logging.getLogger(__name__)


@contextlib.contextmanager
def trusting(everything: bool) -> Iterator[None]:
    """While the block runs, every file may run, if `everything`: the user says so."""
    token = _everything.set(everything or _everything.get())
    try:
        yield
    finally:
        _everything.reset(token)


def everything() -> bool:
    """Whether the user says that every file may run."""
    return _everything.get()


def note(experiment: str) -> None:
    """Remembers that this user trains with an experiment, once it is loaded; nothing for one of ours."""
    state = {str(file): _digest(file) for file in experiment_file.sources(experiment).values()}
    record = _record(Path(experiment))
    if not state or state in (states := _read(record)):
        return
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_whole(record, json.dumps([*states, state][-MOST_STATES:]))
    except OSError as error:
        log.warning('%s cannot be written: %s; other modes will ask for --trust', record, error.strerror)


def check(experiment: str, folder: Path) -> None:
    """Checks that the experiment that a work folder names may run.

    It may if it is one of ours, has been run in this process already, or is as this user has trained with it.

    Raises:
        CnnJaxError: it may not; the line says what would run.
    """
    path = Path(experiment).expanduser()
    if not experiment_file.is_own(experiment) or everything() or experiment_file.has_run(path):
        return
    states = _read(_record(path))
    if any(_unchanged(state) for state in states):
        return
    why = 'it is not as you trained with it' if states else 'you have not trained with it here'
    raise CnnJaxError(
        f'{folder} names the experiment file {path.resolve()}, which would be run, and {why}; read it and the modules '
        'beside it, then add --trust (cnn_jax.load(..., trust=True))'
    )


def _record(path: Path) -> Path:
    name = hashlib.sha256(str(path.expanduser().resolve()).encode(errors='surrogateescape')).hexdigest()
    return cache.folder('experiments') / f'{name[:32]}.json'


def _read(record: Path) -> list[State]:
    """The states that are remembered; none where they cannot be read."""
    try:
        states = json.loads(record.read_text(encoding='utf-8'))
        return [{str(file): str(digest) for file, digest in state.items()} for state in states if state]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def _unchanged(state: State) -> bool:
    try:
        return all(_digest(Path(file)) == digest for file, digest in state.items())
    except OSError:
        return False


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
