"""How a run ended, where its last step does not tell: it diverged, or its patience was at an end."""

import json
from pathlib import Path
from typing import Any

from cnn_jax.errors import StorageError
from cnn_jax.files.whole import write_whole
from cnn_jax.workdir.config_file import read_object

FILE = 'outcome.json'
STATES = ('diverged', 'finished')


def note(folder: Path, state: str, **more: Any) -> None:
    """Remembers that a run 'diverged' or 'finished', and what belongs to that."""
    write_whole(folder / FILE, json.dumps({'state': state, **more}) + '\n')


def read(folder: Path) -> dict[str, Any]:
    """What was remembered; nothing where nothing was. Raises StorageError where it cannot be read."""
    file, mend = folder / FILE, 'remove it, and the run is taken as not finished'
    if not file.exists():
        return {}
    noted = read_object(file, mend=mend)
    if noted.get('state') not in STATES or not isinstance(noted.get('result_step'), int | None):
        raise StorageError(f'cannot read {file}: it does not say how a run ended; {mend}')
    return noted
