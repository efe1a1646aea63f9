"""How often the test split of a run was opened: each look at it makes the next choice a little less honest."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.drawing.words import times
from cnn_jax.workdir.config_file import change_config, read_config

FIELD = 'test_openings'  # of config.json: one entry for each opening


def count_opening(folder: Path, *, step: int | None, by: str, report: Callable[[str], object]) -> None:
    """Counts in a run that its test split was opened, and says how often that has been.

    Args:
        folder: of the run; where none is, nothing is counted.
        step: of the checkpoint whose score was looked at; None: it is not known here.
        by: the mode.
        report: told.
    """
    if not (folder / 'config.json').exists():
        return
    entry = {'time': time.strftime('%Y-%m-%d %H:%M:%S'), 'step': step, 'by': by}
    try:
        change_config(folder, lambda config: {**config, FIELD: [*config.get(FIELD, ()), entry]})
    except OSError as error:
        report(f'warning: {folder} cannot be written ({error.strerror}): this opening of the test split is not counted')
        return
    report(in_words(read_config(folder) or {}))


def in_words(config: Mapping[str, Any]) -> str:
    """'the test split was opened 3 times', by the `config.json` of a run."""
    return f'the test split was opened {times(len(config.get(FIELD, ())))}'
