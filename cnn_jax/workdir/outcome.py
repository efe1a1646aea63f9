"""How a run ended, where its last step does not tell: it diverged, or its patience was at an end."""

import json
from pathlib import Path
from typing import Any

from cnn_jax.errors import StorageError
from cnn_jax.files.whole import write_whole

FILE = 'outcome.json'


def note(folder: Path, state: str, **more: Any) -> None:
    """Remembers that a run 'diverged' or 'finished', and what belongs to that."""
    write_whole(folder / FILE, json.dumps({'state': state, **more}) + '\n')


def read(folder: Path) -> dict[str, Any]:
    """What was remembered; nothing where nothing was. Raises StorageError where it cannot be read."""
    file = folder / FILE
    try:
        return json.loads(file.read_text(encoding='utf-8')) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise StorageError(f'cannot read {file}: {error}; remove it, and the run is taken as not finished') from error
