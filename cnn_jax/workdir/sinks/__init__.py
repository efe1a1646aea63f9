"""Other places for metrics, by option: `metrics.jsonl` has them all, these show them. One file each, found by its name.

A sink's file has `PACKAGE`, what to install for it, and `Sink(workdir, step)`, opened when the first line comes; `step`
is the line's. `write(line)` takes a line of `metrics.jsonl`, `close()` ends it.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Protocol

from cnn_jax.errors import CnnJaxError, unknown


class Sink(Protocol):
    """Takes lines of metrics, in the order of their steps."""

    def write(self, line: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def available() -> list[str]:
    """The names of the files beside this one."""
    return sorted(path.stem for path in Path(__file__).parent.glob('*.py') if path.stem != '__init__')


def parse(text: str | None) -> tuple[str, ...]:
    """'tensorboard,wandb' as names whose packages are installed; nothing is imported yet.

    Raises:
        CnnJaxError: an unknown name, or a package that is missing.
    """
    names = tuple(name.strip() for name in text.split(',') if name.strip()) if text else ()
    for name in names:
        if name not in available():
            raise CnnJaxError(f'--log_to: {unknown("sink", name, available())}')
        package = importlib.import_module(f'cnn_jax.workdir.sinks.{name}').PACKAGE
        if importlib.util.find_spec(package) is None:
            raise CnnJaxError(f'--log_to={name} needs the package {package}: pip install {package}')
    return names


def open_sink(name: str, workdir: Path, step: int) -> Sink:
    """Opens a sink for the run in `workdir`; what it has of `step` and later is to be replaced."""
    return importlib.import_module(f'cnn_jax.workdir.sinks.{name}').Sink(workdir, step)
