"""The work folder of a run: where it is, what `config.json` remembers of it, and the experiment made from that."""

import difflib
import importlib.metadata
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from cnn_jax.data.formats.remembered import Remembered
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.experiment import Loaded, function, load
from cnn_jax.experiment_file import FROM_PYTHON
from cnn_jax.options import signature
from cnn_jax.weights.prepared import of_experiment
from cnn_jax.workdir import place, sources, trust
from cnn_jax.workdir.config_file import read_config

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'tensorflow-datasets', 'numpy')
COMPARED = ('experiment', 'options', 'seed', 'fold')  # a run that resumes must have these equal
VALIDATION = 'validation'  # the option that says how many training images are held out
NOTED = ('devices', 'parallel', 'data_dir', 'git_commit', 'versions')  # these may differ, and are said


def default_path(name: str) -> Path:
    """A new folder for a run: runs/<experiment>/<time>, with a number where that is taken."""
    path = Path('runs') / Path(name).stem / time.strftime('%Y-%m-%d_%H-%M-%S')
    taken = (path.with_name(f'{path.name}_{number}') for number in itertools.count(2))
    return path if not path.exists() else next(other for other in taken if not other.exists())


def make_folder(path: Path) -> None:
    """Makes the folder, or checks that it can be written.

    Raises:
        CnnJaxError: it is a file, or the address of a store elsewhere.
        StorageError: the machine does not let us write there, or what is written would land elsewhere.
    """
    place.check_local(path, 'workdir')
    blocked = next((part for part in (path, *path.parents) if part.exists() and not part.is_dir()), None)
    if blocked is not None:
        raise CnnJaxError(f'--workdir: {blocked} is a file; give a folder')
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path), os.scandir(path) as entries:
            links = [entry.name for entry in entries if entry.is_symlink()]
    except OSError as error:
        raise StorageError(
            f'work folder not writable: {path}; {error.strerror}; give another --workdir, or mend its rights'
        ) from error
    if links:
        raise StorageError(
            f'{path / links[0]} is a link to {os.readlink(path / links[0])}, and what stands in a work folder may be '
            'written to; put the file or folder itself there, or use another --workdir'
        )


def describe_run(
    loaded: Loaded, *, seed: int, parallel: str, data_dir: Path, init_from: Path | None = None
) -> dict[str, Any]:
    """What `config.json` holds: everything that made this run, as plain JSON values; paths are absolute."""
    prepared = of_experiment(loaded.experiment.data, loaded.experiment.preprocess)
    return {
        'experiment': loaded.name,
        'options': json.loads(json.dumps(loaded.options)),
        'seed': seed,
        'fold': loaded.experiment.data.fold,
        'parallel': parallel,
        'devices': [jax.device_count(), jax.devices()[0].device_kind],
        'data': loaded.experiment.data.name,
        'data_dir': str(data_dir.absolute()),
        'init_from': None if init_from is None else str(init_from.absolute()),
        'folder': str(Path.cwd()),  # where relative paths begin
        'splits': dict(loaded.experiment.data.splits),
        'class_names': list(loaded.experiment.data.class_names),
        'fields': list(loaded.experiment.data.row_fields),
        'image_shape': list(loaded.experiment.data.image_shape),
        'preprocessing': None if prepared is None else prepared.as_json(),
        'experiment_files': sources.digests(loaded.name),
        'git_commit': sources.git_commit(),
        'python': sys.version.split()[0],
        'versions': {name: importlib.metadata.version(name) for name in PACKAGES},
        'started': time.strftime('%Y-%m-%d %H:%M:%S'),
    }


def data_dir_of(config: Mapping[str, Any] | None) -> Path:
    """Where a run had its data, if that folder is still there; else where data sets usually are."""
    recorded = Path(config['data_dir']) if config and 'data_dir' in config else None
    return recorded if recorded is not None and os.path.isdir(recorded) else default_data_dir()


def has_begun(path: Path) -> bool:
    """Whether a run has left more in its folder than its configuration: a step that was logged, or a checkpoint."""
    return any((path / name).exists() for name in ('checkpoints', 'metrics.jsonl'))


def existing_config(path: Path) -> dict[str, Any]:
    """The `config.json` of a run that must be there; CnnJaxError if not."""
    config = read_config(path) if path.is_dir() else None
    if config is None:
        near = _runs_near(path)
        others = f', such as {", ".join(map(str, near))}' if near else ''
        raise CnnJaxError(f'no run in {path}: there is no config.json; give the --workdir of a training run{others}')
    return config


def _runs_near(path: Path, most: int = 3) -> list[Path]:
    """The newest runs below a folder; where it is not there, the runs beside it whose names are most like its own."""
    if path.is_dir():
        found = [file for depth in ('*', '*/*') for file in path.glob(f'{depth}/config.json')]
        return [file.parent for file in sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)[:most]]
    names = [file.parent.name for file in path.parent.glob('*/config.json')]
    return [path.parent / name for name in difflib.get_close_matches(path.name, names, most)]


def load_run(
    config: dict[str, Any], options: Mapping[str, Any] | None = None, *, path: Path, report: Callable[[str], None]
) -> Loaded:
    """The experiment of a run, made again; `options` are given anew.

    Args:
        config: of the run.
        path: its work folder.
        report: told of a file of the user's own that is not as the run was trained with it.

    Raises:
        CnnJaxError: the experiment is gone, is not to be trusted, does not take its options any more, or is that of no
            file.
    """
    if config['experiment'] == FROM_PYTHON:
        raise CnnJaxError(
            f'the run in {path} was trained from Python with an experiment that no file makes; train what '
            'cnn_jax.experiment.load(NAME, OPTIONS) gives, and the modes can read it'
        )
    sources.check_there(config, path)
    trust.check(config['experiment'], path)
    known = None
    if 'splits' in config:  # not in runs from before that was kept
        known = Remembered(
            tuple(config['class_names']),
            config['splits'],
            Path(config['folder']),
            tuple(config.get('fields', ())),
            tuple(config['image_shape']) if 'image_shape' in config else None,
        )
    then = {} if 'fold' in config else options_then(config['experiment'])
    given = {**then, **config['options'], **(options or {})}
    loaded = load(config['experiment'], given, known=known).with_fold(config.get('fold', 0))
    for line in sources.changes(config, path):
        report(f'warning: {line}')
    return loaded


def options_then(experiment: str) -> dict[str, Any]:
    """The options that runs did not record before images were held out for validation: none were."""
    names = [option.name for option in signature(function(experiment))]
    return {VALIDATION: 0.0} if VALIDATION in names else {}


def check_same_run(saved: dict[str, Any], config: dict[str, Any], path: Path) -> list[str]:
    """Checks that a run may resume; lines that say what else has changed.

    Raises:
        CnnJaxError: the experiment, an option, the seed, a class or the weights that it starts from differ.
    """
    config, new = {'fold': 0, **config}, _new_options(saved, config)
    then = {VALIDATION: 0.0} if 'fold' not in saved and VALIDATION in config['options'] else {}
    saved = {'fold': 0, **saved, 'options': {**new, **then, **saved['options']}}
    differ = [f'{name} was {before!r}, now {now!r}' for name, before, now in _differences(saved, config, COMPARED)]
    if config.get('init_from') and 'init_from' in saved and saved['init_from'] != config['init_from']:
        differ.append(f'init_from was {saved["init_from"]}, now {config["init_from"]}')  # it would not be used
    differ += _other_class(saved.get('class_names', []), config.get('class_names', []))
    if differ:
        raise CnnJaxError(
            f'{path} holds another run: {"; ".join(differ)}; '
            f'repeat its options, or start anew with --workdir=NEW --init_from={path}'
        )
    return [
        *(f'the option {name} is newer than this run, which goes on with {value}' for name, value in new.items()),
        *(
            f'since the last start {name} changed from {before} to {now}'
            for name, before, now in _differences(saved, config, NOTED)
        ),
    ]


def _new_options(saved: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a run did not record, since there were none, and that have their defaults."""
    missing = [name for name in config['options'] if name not in {VALIDATION, *saved['options']}]
    if not missing:
        return {}
    defaults = {option.name: option.default for option in signature(function(config['experiment']))}
    now = {name: config['options'][name] for name in missing}
    return {name: value for name, value in now.items() if value == json.loads(json.dumps(defaults.get(name)))}


def _differences(saved: dict[str, Any], config: dict[str, Any], names: tuple[str, ...]) -> list[tuple[str, Any, Any]]:
    """(name, before, now) for what differs, one row for each option or version."""
    rows = []
    for name in names:
        before, now = saved.get(name), config.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            rows += [
                (key, before.get(key), now.get(key)) for key in {**before, **now} if before.get(key) != now.get(key)
            ]
        elif before != now:
            rows.append((name, before, now))
    return rows


def _other_class(saved: list[str], now: list[str]) -> list[str]:
    """The first class that differs, in words; a renamed folder must not become another class in silence."""
    for number, (before, after) in enumerate(itertools.zip_longest(saved, now)):
        if before != after:
            return [f'class {number} was {before!r}, now {after!r}']
    return []
