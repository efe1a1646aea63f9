"""Writes the page of a run at any time, also while it trains; of a folder of runs their list, and two side by side.

python -m cnn_jax.main --mode=report --workdir=RUN
"""

from pathlib import Path
from typing import Any

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import CHECKPOINT, DATA_DIR, Flag
from cnn_jax.modes._help import option_lines
from cnn_jax.workdir.log import Log

FLAGS = (
    CHECKPOINT,
    DATA_DIR,
    Flag('follow', 'write it again each minute while the run goes on', 'switch', False),
)
GROUPS = (Flag('set', 'how much of the run is looked at; --mode=report --help lists it'),)
POLLS = True


def details(flags: Any) -> str:
    """The settings of the microscope."""
    from cnn_jax.options import comments, offered
    from cnn_jax.report.microscope.settings import settings

    return '\n'.join(['settings', *option_lines(offered(settings), comments(settings), 'set')])


def run(command: Command) -> None:
    from cnn_jax.workdir.config_file import read_config, runs_below

    workdir = command.workdir
    if workdir is None:
        raise CnnJaxError(
            '--mode=report needs --workdir=RUN, or --workdir=runs for the list of the runs below a folder'
        )
    if command.flags.experiment is not None:
        raise CnnJaxError('--experiment: --mode=report reads what a run remembers; leave it out')
    if not (workdir.is_dir() and read_config(workdir) is None and runs_below(workdir)):
        _write_page(command, workdir)
        return
    given = command.groups['set']
    if command.flags.follow or command.flags.checkpoint != 'result' or given:
        flag = 'follow' if command.flags.follow else f'set.{next(iter(given))}' if given else 'checkpoint'
        raise CnnJaxError(f'--{flag} is of one run, and {workdir} is a folder of several; give the --workdir of one')
    _write_list(workdir, command.log)


def _write_list(folder: Path, log: Log) -> None:
    """The list of the runs below a folder, and two side by side; one that cannot be read is said and left out."""
    from cnn_jax.report import runs
    from cnn_jax.report.listed import Listed
    from cnn_jax.workdir.config_file import read_config, runs_below
    from cnn_jax.workdir.log import read_metrics

    listed, failed = [], []
    with log.working('reading the runs'):
        for path in runs_below(folder):
            try:
                listed.append(Listed(path, read_config(path) or {}, read_metrics(path)))
            except StorageError as error:
                failed.append(error)
                log.say(f'warning: left out: {error}')
        if not listed:
            raise failed[0]
        page = runs.write_index(folder, listed)
    log.say(f'{f"{len(listed)} runs":<14} {page}')


def _write_page(command: Command, workdir: Path) -> None:
    from cnn_jax.options import offered, resolve
    from cnn_jax.report.microscope.settings import settings
    from cnn_jax.training.reported import Reporter, check_follows, follow

    def poll() -> None:
        command.stop.poll('stopped; the page is as it was last written')

    chosen = settings(**resolve(offered(settings), command.groups['set'], 'set'))
    loaded, given, log = command.load(), command.flags, command.log
    log.listen()  # the parts of the page that fail say so
    if given.follow:
        check_follows(workdir)
    reporter = Reporter(
        loaded, workdir, checkpoint=given.checkpoint, data_dir=command.data_dir, log=log, poll=poll, settings=chosen
    )
    page = follow(reporter, workdir, log, poll) if given.follow else reporter.write()
    log.say(f'report         {page}')
