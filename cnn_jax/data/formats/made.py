"""Folders of files that are made at first use, whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cnn_jax.errors import DataError
from cnn_jax.files import lock as file_lock


def made_once(home: Path, write: Callable[[Path], None]) -> None:
    """The folder `home`, written by `write(folder)` where it is not there yet, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    if home.is_dir():
        return
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with file_lock.held(home.with_name(f'{home.name}.LOCK')):
            if home.is_dir():
                return
            part = Path(tempfile.mkdtemp(prefix='building-', dir=home.parent))
            try:
                write(part)
                os.rename(part, home)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f'cannot write {home}: {error.strerror}; give a folder that can be written with --data_dir=FOLDER'
        ) from error
