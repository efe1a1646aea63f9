"""The code that made a run: its commit, and a copy of the user's own experiment file with the modules beside it."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

from cnn_jax import experiment_file
from cnn_jax.errors import CnnJaxError
from cnn_jax.files.whole import write_whole

KEPT = 'experiment'  # the folder of the copies, in the work folder
DIGITS = 16  # of a digest


def git_commit() -> str | None:
    """The commit of this code, with '+' if files differ from it.

    None where git does not know the code: an installed package may lie within the folder of another repository.
    """
    code = Path(experiment_file.__file__).resolve()
    try:
        _git('ls-files', '--error-unmatch', str(code))
        return _git('describe', '--always', '--dirty=+', '--abbrev=40', '--exclude=*')
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    # A hook of git runs with variables that name its own repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith('GIT_')}
    command = ['git', '-C', str(experiment_file.ROOT), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def digests(experiment: str) -> dict[str, str]:
    """What the files of the user's own experiment hold now, by name; nothing for an experiment of ours."""
    return {name: _digest(file) for name, file in experiment_file.sources(experiment).items()}


def keep(workdir: Path, experiment: str) -> None:
    """Copies the files of the user's own experiment into the work folder; an earlier copy that differs stays."""
    for name, file in experiment_file.sources(experiment).items():
        copy = workdir / KEPT / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if copy.is_file() and (digest := _digest(copy)) != _digest(file):
            copy.replace(copy.with_stem(f'{copy.stem}_{digest}'))
        write_whole(copy, file.read_bytes())


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:DIGITS]


def changes(config: dict[str, Any], workdir: Path) -> list[str]:
    """A line for each file of the user's own experiment that is not as the run had it.

    config: of the run; the experiment has been loaded since.
    """
    saved, now = config.get('experiment_files', {}), digests(config['experiment'])
    return [
        f'{name} has changed since the run in {workdir} was trained with it; {workdir / KEPT} has it as it was'
        for name, digest in saved.items()
        if name in now and now[name] != digest
    ]


def check_there(config: dict[str, Any], workdir: Path) -> None:
    """Raises CnnJaxError where the user's own experiment file of a run is gone."""
    name = config['experiment']
    if experiment_file.is_own(name) and not os.path.isfile(name):
        copy = workdir / KEPT / Path(name).name
        where = f'; its copy is {copy}' if copy.is_file() else ''
        raise CnnJaxError(f'the experiment file of the run in {workdir} is gone: {name}; put it back{where}')
