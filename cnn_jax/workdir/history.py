"""The variables of a run at a few steps from the first to the last: small files for pictures of its training.

They lie in `checkpoints/history`, one safetensors file a step. A run does not go on from them, and they stay when older
checkpoints go. Each says its step and its run, and carries a checksum of its arrays.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.files.refusal import disk_reason
from cnn_jax.weights.convert import flatten, unflatten
from cnn_jax.weights.safetensors_file import read_safetensors, write_safetensors
from cnn_jax.workdir.identity import differences, identity

FOLDER, KEY = 'history', 'cnn_jax_history'


def steps_of(num_steps: int, count: int) -> list[int]:
    """`count` steps from 0 to the last, each about as many times the one before: 0, 1, 2, 5, .., num_steps.

    Most is learned early, so that steps of equal length would show little of it. Fewer where there are not so many.
    """
    between = np.geomspace(1, num_steps, count - 1) if count > 2 else [num_steps]
    found = [0]
    for number, step in enumerate(between):
        left = len(between) - 1 - number  # that come after this one
        found.append(min(max(round(float(step)), found[-1] + 1), max(num_steps - left, found[-1])))
    return sorted(set(found))


class History:
    """The files of one run.

    Args:
        workdir: its folder.
        wanted: the steps that are kept; none for reading.
    """

    def __init__(self, workdir: Path, wanted: list[int] | None = None):
        self.directory = workdir / 'checkpoints' / FOLDER
        self.wanted = frozenset(wanted or ())
        self._run = identity(workdir)

    def steps(self) -> list[int]:
        """The steps on the disk, the first one first. Other names in the folder are left alone."""
        names = [path.stem for path in self.directory.glob('*.safetensors')]
        return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))

    def save(self, step: int, variables: Mapping[str, Any]) -> None:
        """Writes the variables of a step, numpy arrays in nested dicts; those of before are replaced in one move.

        Raises:
            StorageError: they cannot be written.
        """
        arrays = {'/'.join(path): np.asarray(leaf) for path, leaf in flatten(dict(variables)).items()}
        about = {'step': step, 'run': self._run, 'crc32': _checksum(arrays)}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = disk_reason(self.directory, error) or error.strerror
            raise StorageError(f'{self.directory}: cannot be made: {reason}; mend the work folder') from error
        write_safetensors(self._path(step), arrays, {KEY: json.dumps(about)})

    def read(self, step: int, like: Mapping[str, Any]) -> dict[str, Any]:
        """The variables of a step, in the names, shapes and types of `like`.

        Raises:
            CnnJaxError: it is of another model.
            StorageError: it is missing, damaged, or of another step or run.
        """
        path = self._path(step)
        arrays, texts = read_safetensors(path)
        try:
            about = json.loads(texts[KEY])
            sealed = about['step'], about['crc32']
            differ = differences(about['run'], self._run)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise StorageError(f'{path} is not usable: it does not say what it is of; move it away') from error
        if sealed != (step, _checksum(arrays)):
            raise StorageError(f'{path} is not usable: it was saved as another step, or its bits changed; move it away')
        if differ:
            raise StorageError(f'{path} is not usable: it is of another run ({"; ".join(differ[:3])}); move it away')
        wanted = {'/'.join(name): (leaf.shape, str(leaf.dtype)) for name, leaf in flatten(dict(like)).items()}
        found = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
        if found != wanted:
            wrong = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            raise CnnJaxError(f'{path} is of another model: {", ".join(wrong[:3])}; use the options of its run')
        return unflatten({tuple(name.split('/')): array for name, array in arrays.items()})

    def cut_back(self, step: int) -> None:
        """Removes what is of later steps, which a run that goes on from `step` will reach again."""
        for later in [other for other in self.steps() if other > step]:
            self._path(later).unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self.directory / f'{step}.safetensors'


def _checksum(arrays: Mapping[str, np.ndarray]) -> int:
    """Of the bytes of all arrays, in the order of their names."""
    found = 0
    for name in sorted(arrays):
        found = zlib.crc32(np.ascontiguousarray(arrays[name]).tobytes(), zlib.crc32(name.encode(), found))
    return found
