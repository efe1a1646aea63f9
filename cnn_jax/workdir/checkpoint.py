"""Checkpoints of any pytree: saved in the background, verified bit for bit when read.

Orbax writes and commits; what it lacks is here. A bit that flips on the disk is restored silently, another dtype too,
and the error of a failed save shows one save later (all measured). So each checkpoint carries, in its own metadata, the
shape, dtype and digest of every leaf, and `restore_latest_valid` believes only what matches.
"""

import contextlib
import errno
import gc
import json
import logging
import os
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.workdir import digest

FORMAT = 2  # of a checkpoint; which digests it has, `digest.DIGESTS` says
STATE, META = 'state', 'meta'  # the two parts of a checkpoint: the pytree, and JSON that describes it
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of the disk, of a quota, of the size that a file may have
FULL_WORDS = ('No space left', 'Disk quota exceeded', 'File too large', 'RESOURCE_EXHAUSTED')  # as tensorstore says it


class Restored(NamedTuple):
    """A checkpoint that was read and verified: its step, its pytree, the note saved with it, and its format."""

    step: int
    state: Any
    note: dict[str, Any]
    format: int


class Checkpoints:
    """The checkpoints below one folder, one subfolder a step; the newest `keep` are kept.

    Args:
        directory: made at the first save.
        keep: how many finished checkpoints stay on the disk; at least 1.
        aside: where `set_aside_after` moves steps; None: `rejected_checkpoints`, beside the folder.
    """

    def __init__(self, directory: Path, *, keep: int = 3, aside: Path | None = None):
        self.directory = directory.absolute()
        self._aside = self.directory.parent / 'rejected_checkpoints' if aside is None else aside
        self.keep = keep
        self._checkpointer: ocp.training.Checkpointer | None = None
        self._pending: tuple[int, Any] | None = None

    def save(self, step: int, state: Any, *, note: dict[str, Any] | None = None) -> None:
        """Starts to write `state` as `step`, after the save before it has finished.

        The arrays are copied off the devices before this returns, so the state may be donated at once.

        Raises:
            StorageError: this save cannot start, or the one before it failed.
        """
        self.wait()
        meta = _sealed({'format': FORMAT, 'leaves': _describe(state, digests=FORMAT), 'note': note or {}})
        try:
            response = self._open().save_checkpointables_async(step, {STATE: state, META: meta}, force=True)
        except Exception as error:
            raise self._failed(step, error) from error
        self._pending = (step, response)

    def wait(self) -> int | None:
        """Ends when no save is running; the step of the save that it waited for.

        Raises:
            StorageError: that save failed; the checkpoints before it are as they were.
        """
        if self._pending is None:
            return None
        step, response = self._pending
        self._pending = None
        try:
            response.result()
        except Exception as error:
            raise self._failed(step, error) from error
        return step

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        try:
            self.wait()
        finally:
            if self._checkpointer is not None:
                with contextlib.suppress(Exception):  # of a save that `wait` has told of: Orbax says it again
                    self._checkpointer.close()
                self._checkpointer = None

    def steps(self) -> list[int]:
        """The steps on the disk, oldest first, whether valid or not. Other names in the folder are left alone."""
        if not self.directory.is_dir():
            return []
        names = [entry.name for entry in self.directory.iterdir() if entry.is_dir()]
        return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))

    def restore_latest_valid(self, like: Any, *, report: Callable[[str], None]) -> Restored | None:
        """The newest checkpoint that is whole, in the shapes and shardings of `like`; None if there are none.

        Args:
            like: pytree of `jax.ShapeDtypeStruct` with shardings.
            report: told one line for every checkpoint that is passed over, with the reason. Nothing is deleted.

        Raises:
            CnnJaxError: a checkpoint is another model's.
            StorageError: there are checkpoints and none is whole.
        """
        rejected = []
        for step in reversed(self.steps()):
            try:
                return self.restore(step, like)
            except StorageError as error:
                rejected.append(str(error))
                report(str(error))
        if rejected:
            raise StorageError(
                f'no usable checkpoint in {self.directory}: {"; ".join(rejected)}; '
                'restore the folder from a copy, or start over in a new --workdir'
            )
        return None

    def restore(self, step: int, like: Any) -> Restored:
        """Reads one step and verifies it; errors as in `restore_latest_valid`."""
        path = self.directory / str(step)
        meta = self._read(path, META, None)
        if not isinstance(meta, dict) or _sealed(meta) != meta:
            raise StorageError(f'checkpoint {path} is not usable: its {META} changed since the save')
        if meta['format'] > FORMAT:
            raise StorageError(f'checkpoint {path} is not usable: a newer cnn_jax wrote it (format {meta["format"]})')
        leaves = meta['leaves']
        _check_fits(path, leaves, _describe(like))
        state = self._read(path, STATE, like)
        found = _describe(state, digests=meta['format'])
        wrong = [name for name, leaf in found.items() if leaf['digest'] != leaves[name]['digest']]
        if wrong:
            raise StorageError(f'checkpoint {path} is not usable: the bits of {_some(wrong)} changed since the save')
        return Restored(step, state, meta['note'], meta['format'])

    def discard_before(self, step: int) -> None:
        """Removes the steps before `step`."""
        for other in [other for other in self.steps() if other < step]:
            shutil.rmtree(self.directory / str(other), ignore_errors=True)

    def set_aside_after(self, step: int) -> None:
        """Moves the steps after `step` out of the way.

        They were passed over, their numbers will be saved again, and Orbax would count them among the newest to keep.
        """
        for later in [other for other in self.steps() if other > step]:
            target = self._aside / str(later)
            target.parent.mkdir(parents=True, exist_ok=True)
            while target.exists():
                target = target.with_name(target.name + '_')
            (self.directory / str(later)).rename(target)

    def _open(self) -> ocp.training.Checkpointer:
        if self._checkpointer is None:
            sys.unraisablehook = _without_closed_loops
            newest: Any = ocp.training.preservation_policies.LatestN(self.keep)
            self._checkpointer = ocp.training.Checkpointer(
                str(self.directory), preservation_policy=newest, context=_context()
            )
        return self._checkpointer

    def _read(self, path: Path, part: str, like: Any) -> Any:
        try:
            with _quiet(), _context():
                return ocp.load_checkpointables(str(path), {part: like})[part]
        except Exception as error:
            lines = str(error).strip().splitlines() or ['no message']
            missing = isinstance(error, FileNotFoundError | KeyError) or not (path / part).exists()
            why = 'is missing' if missing else f'cannot be read ({type(error).__name__}: {lines[0][:160]})'
            raise StorageError(f'checkpoint {path} is not usable: its {part} {why}') from error

    def _failed(self, step: int, error: Exception) -> StorageError:
        kept = [other for other in self.steps() if other != step]
        good = f'the checkpoint of step {kept[-1]} is intact' if kept else 'there is no earlier checkpoint'
        return StorageError(
            f'saving step {step} to {self.directory} failed: {_disk_reason(self.directory, error)}; {good}'
        )


def _context() -> ocp.Context:
    """Orbax's settings: the part 'meta' is JSON."""
    registry = ocp.handlers.local_registry()
    registry.add(ocp.handlers.JsonHandler, checkpointable_name=META)
    context = ocp.Context()
    context.checkpointables.registry = registry
    return context


def _sealed(meta: dict[str, Any]) -> dict[str, Any]:
    """`meta` with a checksum of all the rest of it."""
    rest = {name: value for name, value in meta.items() if name != 'crc32'}
    return {**rest, 'crc32': zlib.crc32(json.dumps(rest, sort_keys=True).encode())}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the pages that Orbax's reader tasks leave on stderr over a damaged file; the error itself is raised."""
    hook, logger = sys.unraisablehook, logging.getLogger('asyncio')
    level = logger.level
    sys.unraisablehook = lambda unraisable: None
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    except Exception:
        for _ in range(3):  # the tasks of Orbax's threads complain when they are collected: while nobody listens
            gc.collect()
            time.sleep(0.02)
        raise
    finally:
        sys.unraisablehook = hook
        logger.setLevel(level)


def _without_closed_loops(unraisable: Any) -> None:
    """Prints what Python cannot raise, but for the pages of tensorstore's threads after a save that failed."""
    if str(unraisable.exc_value) != 'Event loop is closed':
        sys.__unraisablehook__(unraisable)


def _describe(tree: Any, *, digests: int | None = None) -> dict[str, dict[str, Any]]:
    """Path, shape and dtype of every leaf, as the metadata has them; with the digests of a format, if one is given."""
    plain = jax.tree.map(_plain, tree) if digests else jax.eval_shape(lambda tree: jax.tree.map(_plain, tree), tree)
    leaves = jax.tree_util.tree_flatten_with_path(plain)[0]
    described = {
        jax.tree_util.keystr(path, simple=True, separator='/'): {'shape': list(leaf.shape), 'dtype': str(leaf.dtype)}
        for path, leaf in leaves
    }
    if digests:
        values = jax.device_get([digest.DIGESTS[digests](leaf) for _, leaf in leaves])
        for leaf, value in zip(described.values(), values, strict=True):
            leaf['digest'] = digest.as_text(value)
    return described


def _plain(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _check_fits(path: Path, saved: dict[str, Any], model: dict[str, Any]) -> None:
    def form(leaf):
        return f'{tuple(leaf["shape"])} {leaf["dtype"]}' if leaf else 'nothing'

    names = dict.fromkeys([*model, *saved])
    wrong = [
        f'{name}: saved {form(saved.get(name))}, model {form(model.get(name))}'
        for name in names
        if form(saved.get(name)) != form(model.get(name))
    ]
    if wrong:
        more = f'; and {len(wrong) - 3} more' if len(wrong) > 3 else ''
        raise CnnJaxError(
            f'checkpoint {path} is of another model: {"; ".join(wrong[:3])}{more}; '
            'use the options it was trained with, or a new --workdir'
        )


def _disk_reason(directory: Path, error: Exception) -> str:
    text = str(error)
    if getattr(error, 'errno', None) in FULL or any(words in text for words in FULL_WORDS):
        folder = next(path for path in (directory, *directory.parents) if path.exists())
        return f'the disk is full ({shutil.disk_usage(folder).free / 2**20:.0f} MiB free); make room, then go on'
    if isinstance(error, PermissionError) or not os.access(directory.parent, os.W_OK):
        return 'the folder is not writable'
    return f'{type(error).__name__}: {text.strip().splitlines()[0][:200] if text.strip() else "no message"}'


def _some(names: list[str]) -> str:
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more leaves' if len(names) > 3 else '')
