"""The `config.json` of a run on the disk: read, with the kinds of its values checked, and written whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnn_jax.errors import StorageError
from cnn_jax.files.lock import held
from cnn_jax.files.whole import write_whole

FILE = 'config.json'
LOCK = 'config.lock'  # held while it is read and written
DEEPEST = 4  # folders below one of runs: an ablation is runs/NAME/CELL/SEED
MOST_BYTES = 16 * 2**20  # ImageNet's class names take 40 kB
ALWAYS, WITH_SPLITS = ('experiment', 'options'), ('class_names', 'folder')  # what a run has, and newer ones
MEND = 'put it back from a copy, or use another --workdir'


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and '\0' not in value


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_list(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(of, value))


def _is_dict(of: Callable[[Any], bool] = lambda value: True) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


def _is_seal(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and _is_count(value[0]) and (value[1] is None or _is_text(value[1]))
    )


def _is_shape(value: Any) -> bool:
    return _is_list(_is_count)(value) and len(value) == 3


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'experiment': ('a text', _is_text),
    'options': ('values by name', _is_dict()),
    'seed': ('a whole number', _is_count),
    'fold': ('a whole number', _is_count),
    'data_dir': ('a path', _is_text),
    'init_from': ('a path or null', lambda value: value is None or _is_text(value)),
    'folder': ('a path', _is_text),
    'splits': ('whole numbers by name', _is_dict(_is_count)),
    'class_names': ('texts', _is_list(_is_text)),
    'fields': ('texts', _is_list(_is_text)),
    'image_shape': ('three whole numbers', _is_shape),
    'preprocessing': ('values by name, or null', lambda value: value is None or isinstance(value, dict)),
    'experiment_files': ('texts by name', _is_dict(_is_text)),
    'versions': ('values by name', _is_dict()),
    'seals': ('a count and a digest by name', _is_dict(_is_seal)),
    'test_openings': ('a list of openings', _is_list(_is_dict())),
}


def read_config(path: Path) -> dict[str, Any] | None:
    """The `config.json` of a run; None in a folder that holds no run yet.

    Raises:
        StorageError: there are checkpoints without it, it cannot be read, or a value is not of its kind.
    """
    file = path / FILE
    if not file.exists():
        if (path / 'checkpoints').exists():
            raise StorageError(f'{path} holds checkpoints but no config.json; put it back, or use another --workdir')
        return None
    config = read_object(file, mend=MEND)
    for name, (words, fits) in KINDS.items():
        if name in config and not fits(config[name]):
            raise StorageError(f'cannot read {file}: {name} is {repr(config[name])[:80]}, not {words}; {MEND}')
    needed = ALWAYS + WITH_SPLITS if 'splits' in config else ALWAYS
    if missing := [name for name in needed if name not in config]:
        raise StorageError(f'cannot read {file}: it has no {", ".join(missing)}, so it is not that of a run; {MEND}')
    return config


def runs_below(folder: Path) -> list[Path]:
    """The work folders of the runs below a folder, by name."""
    return sorted(file.parent for depth in range(1, DEEPEST + 1) for file in folder.glob('*/' * depth + FILE))


def read_object(file: Path, *, mend: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        StorageError: it cannot be read, or holds something else; the line ends with `mend`.
    """
    try:
        with file.open('rb') as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f'it has over {MOST_BYTES:,} bytes')
        found = json.loads(content.decode())
        if not isinstance(found, dict):
            raise ValueError(f'it holds a {type(found).__name__}, not values by name')
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f'cannot read {file}: {error}; {mend}') from error


def write_config(path: Path, config: dict[str, Any]) -> None:
    """Writes `config.json`, so that it is whole or absent."""
    write_whole(path / FILE, json.dumps(config, indent=2) + '\n')


def change_config(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Writes what `change` makes of the `config.json` that is there (nothing: an empty one), alone at it.

    Raises:
        OSError: the folder cannot be written.
        StorageError: it cannot be read.
    """
    with held(path / LOCK):
        write_config(path, change(read_config(path) or {}))
