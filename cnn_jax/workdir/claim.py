"""A work folder made a run's own: locked, compared with the run that it holds, its configuration written."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnn_jax.devices import processes
from cnn_jax.workdir import sources, trust
from cnn_jax.workdir.config import check_same_run, has_begun, make_folder
from cnn_jax.workdir.config_file import change_config, read_config, write_config
from cnn_jax.workdir.lock import WorkdirLock
from cnn_jax.workdir.place import check_writable_name

KEPT = ('started', 'folder', 'splits', 'seals', 'test_openings')  # of the first start


@contextlib.contextmanager
def claimed(folder: Path, config: dict[str, Any]) -> Iterator[list[str]]:
    """Makes a folder the run's own while the block runs; gives lines that say what changed since the last start.

    A run that never began, stopped by a mistake in its options perhaps, may change all of them.

    Raises:
        CnnJaxError: the folder holds a run with other options, or its name is one that no checkpoint can be under.
        StorageError: another process trains there, or it cannot be written.
    """
    lock = WorkdirLock(folder)
    try:
        yield processes.main_process_first(lambda: _claim(folder, config, lock)) or []
    finally:
        lock.release()


def _claim(folder: Path, config: dict[str, Any], lock: WorkdirLock) -> list[str]:
    check_writable_name(folder)
    make_folder(folder)
    lock.acquire()
    saved = read_config(folder)
    changed = []
    if saved is not None and has_begun(folder):
        changed = [*check_same_run(saved, config, folder), *sources.changes(saved, folder)]
        init_from = config.get('init_from') or saved.get('init_from')
        config = {**config, 'init_from': init_from}
        change_config(folder, lambda now: {**config, **{name: now[name] for name in KEPT if name in now}})
    else:
        write_config(folder, config)
    sources.keep(folder, config['experiment'])
    trust.note(config['experiment'])
    return changed
