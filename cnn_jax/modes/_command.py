"""What was typed, as the modes take it."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import CnnJaxError
from cnn_jax.workdir.log import Log

if TYPE_CHECKING:
    from cnn_jax.experiment import Loaded


@dataclasses.dataclass
class Command:
    """One call of the command line.

    Attributes:
        mode: its name.
        flags: the values of the flags, by name: those of all modes and those of this one.
        options: `--config.NAME=VALUE`, as typed.
        groups: the other flags of the form `--GROUP.NAME=VALUE`, as typed, by group.
        paths: what stands beside the flags, where the mode takes that.
        stop: whether a signal has come.
        log: who is told; the console, until `log_in`.
        joined: whether there are other processes.
        outlives_console: whether it goes on when nobody is there to be told: what leaves files behind does.
    """

    mode: str
    flags: Any
    options: dict[str, str]
    groups: dict[str, dict[str, str]]
    paths: list[str]
    stop: StopRequest
    log: Log
    joined: bool = False
    outlives_console: bool = False

    @property
    def workdir(self) -> Path | None:
        """Of `--workdir`; None where it was not given."""
        return _path(self.flags.workdir, 'workdir')

    @property
    def init_from(self) -> Path | None:
        """Of `--init_from`; None where it was not given."""
        return _path(self.flags.init_from, 'init_from')

    @property
    def data_dir(self) -> Path:
        """Where data sets are kept: as typed, else where the run had them, else the usual place."""
        from cnn_jax.workdir.config import data_dir_of
        from cnn_jax.workdir.config_file import read_config

        if (given := _path(self.flags.data_dir, 'data_dir')) is not None:
            return given
        return data_dir_of(read_config(self.workdir) if self.workdir is not None and self.workdir.is_dir() else None)

    def log_in(self, folder: Path, log_to: tuple[str, ...]) -> Log:
        """The log of a work folder, which from here on is the command's."""
        from cnn_jax.devices import processes

        self.log.close()
        self.log = Log(folder, enabled=processes.is_main_process(), log_to=log_to)
        self.log.listen()
        return self.log

    def load(self, *, new_options: bool = False, beside_run: bool = True) -> 'Loaded':
        """The experiment that was named, or the one that the work folder remembers.

        Args:
            new_options: a run's experiment may be given other options.
            beside_run: an experiment may be named beside the work folder of a run.

        Raises:
            CnnJaxError: neither is there, or both.
        """
        from cnn_jax import experiment
        from cnn_jax.workdir.config_file import read_config

        workdir, name = self.workdir, self.flags.experiment
        if name is None:
            return self._load_run(new_options)
        if not beside_run and workdir is not None and read_config(workdir) is not None:
            raise CnnJaxError(
                f'--experiment: the run in {workdir} remembers its experiment; leave --experiment or --workdir out'
            )
        with self.log.working(f'reading {name}'):  # a folder of images is listed
            return experiment.load(name, self.options)

    def _load_run(self, new_options: bool) -> 'Loaded':
        from cnn_jax.workdir.config import existing_config, load_run

        if self.workdir is None:
            raise CnnJaxError(f'--mode={self.mode} needs an --experiment=NAME; --list shows the names')
        config = existing_config(self.workdir)
        if self.options and not new_options:
            option = next(iter(self.options))
            raise CnnJaxError(f'--config.{option}: the run in {self.workdir} remembers its options; leave it out')
        # A run that goes on is told by `claimed` which of its files have changed.
        report = (lambda line: None) if new_options else self.log.say
        with self.log.working('reading the experiment'):
            return load_run(config, self.options, path=self.workdir, report=report)


def _path(text: str | None, flag: str) -> Path | None:
    """What a flag was given; CnnJaxError for the address of a store elsewhere."""
    from cnn_jax.workdir.place import check_local

    if not text:
        return None
    path = Path(text).expanduser()
    check_local(path, flag)
    return path
