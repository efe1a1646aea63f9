"""Checkpoints of any pytree: saved in the background, verified after the save, and bit for bit when read.

Orbax writes and commits; what it lacks is here. A bit that flips on the disk is restored silently, another dtype too,
the error of a failed save shows one save later, and a checkpoint without its arrays counts as one (all measured). So
each carries, in its own metadata, its step, its run, and the shape, dtype and digest of every leaf, and
`restore_latest_valid` believes only what matches.
"""

import contextlib
import gc
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp

from cnn_jax.devices import compilation, processes
from cnn_jax.errors import ShortageError, StorageError, check_shortage
from cnn_jax.files.refusal import disk_reason
from cnn_jax.workdir import committed, meta
from cnn_jax.workdir.meta import NewerFormatError

STATE, META = 'state', 'meta'  # the two parts of a checkpoint: the pytree, and JSON that describes it
READ_BACK_BYTES = 64 * 2**20  # smaller states are read back after each save
SPARE_FILES = 32  # open files that a save or a read begins with: Orbax's event loop (uvloop) aborts where it gets none
LEAST_SLICE_BYTES = 2**20  # a replicated array is cut among its devices if each part has this; the cuts are programs


class Restored(NamedTuple):
    """A checkpoint that was read and verified: its step, its pytree, the note saved with it, and its format."""

    step: int
    state: Any
    note: dict[str, Any]
    format: int


class _Pending(NamedTuple):
    """A save that runs: its step, the promise of its end, what it describes, and the form of its state."""

    step: int
    response: Any
    leaves: dict[str, Any]
    like: Any


class Checkpoints:
    """The checkpoints below one folder, one subfolder a step; the newest `keep` are kept.

    Args:
        directory: made at the first save.
        keep: how many finished checkpoints stay on the disk; at least 1.
        aside: where `set_aside_after` moves steps; None: `rejected_checkpoints`, beside the folder.
        run: the `identity` of the run, sealed in what is saved; what is of another run is not used. None: of none.
        read_back: whether each save is read again and its digests compared; None: if it has less than 64 MiB.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: int = 3,
        aside: Path | None = None,
        run: Mapping[str, Any] | None = None,
        read_back: bool | None = None,
    ):
        self.directory = directory.absolute()
        self._aside = self.directory.parent / 'rejected_checkpoints' if aside is None else aside
        self.keep = keep
        self._run, self._read_back = run, read_back
        self._checkpointer: ocp.training.Checkpointer | None = None
        self._pending: _Pending | None = None

    def save(self, step: int, state: Any, *, note: dict[str, Any] | None = None) -> None:
        """Starts to write `state` as `step`, after the save before it has finished.

        The arrays are copied off the devices before this returns, so the state may be donated at once.

        Raises:
            StorageError: this save cannot start, or the one before it failed.
            PeerError: another process was lost.
        """
        self.wait()
        described = meta.describe(step, state, run=self._run, note=note or {})
        like = jax.tree.map(_form, state)
        try:
            _check_spare_files()
            response = self._open().save_checkpointables_async(step, {STATE: state, META: described}, force=True)
        except Exception as error:
            processes.check_peers(error)
            raise self._failed(step, error) from error
        self._pending = _Pending(step, response, described['leaves'], like)

    def wait(self) -> int | None:
        """Ends when no save is running; the step of the save that it waited for, which is then verified.

        Raises:
            StorageError: that save failed; the checkpoints before it are as they were.
            PeerError: another process was lost.
        """
        if self._pending is None:
            return None
        pending, self._pending = self._pending, None
        try:
            pending.response.result()
            self._verify(pending)
        except Exception as error:
            processes.check_peers(error)
            raise self._failed(pending.step, error) from error
        return pending.step

    def _verify(self, pending: _Pending) -> None:
        """Looks at what was committed: the listing and sizes of all, the bits of what is small."""
        path = self.directory / str(pending.step)
        with jax.transfer_guard_host_to_device('allow'):  # a save ends within the loop of training
            processes.main_process_first(lambda: committed.check_arrays(path / STATE, pending.leaves))
            size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pending.like))
            if size < READ_BACK_BYTES if self._read_back is None else self._read_back:
                self.restore(pending.step, pending.like)

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
            StorageError: there are checkpoints and none is whole; or a newer version wrote one.
        """
        rejected = []
        for step in reversed(self.steps()):
            try:
                return self.restore(step, like)
            except (NewerFormatError, ShortageError):
                raise
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
        said = meta.check(path, self._read(path, META, None), run=self._run)
        meta.check_fits(path, said['leaves'], meta.describe_leaves(like))
        state = self._read(path, STATE, like)
        meta.check_digests(path, said['leaves'], meta.describe_leaves(state, digests=said['format']))
        return Restored(step, state, said['note'], said['format'])

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
            sys.unraisablehook = compilation.without_event_loops
            newest: Any = ocp.training.preservation_policies.LatestN(self.keep)
            self._checkpointer = ocp.training.Checkpointer(
                str(self.directory), preservation_policy=newest, context=_context()
            )
        return self._checkpointer

    def _read(self, path: Path, part: str, like: Any) -> Any:
        try:
            _check_spare_files()
            with _quiet(), _context():
                return ocp.load_checkpointables(str(path), {part: like})[part]
        except Exception as error:
            processes.check_peers(error)
            check_shortage(error)
            lines = str(error).strip().splitlines() or ['no message']
            missing = isinstance(error, FileNotFoundError | KeyError) or not (path / part).exists()
            why = 'is missing' if missing else f'cannot be read ({type(error).__name__}: {lines[0][:160]})'
            raise StorageError(f'checkpoint {path} is not usable: its {part} {why}') from error

    def _failed(self, step: int, error: Exception) -> StorageError:
        kept = [other for other in self.steps() if other != step]
        good = f'the checkpoint of step {kept[-1]} is intact' if kept else 'there is no earlier checkpoint'
        return StorageError(f'saving step {step} to {self.directory} failed: {_why(self.directory, error)}; {good}')


def _check_spare_files() -> None:
    """OSError, which says what to do, in the place of the abort of a library."""
    with contextlib.ExitStack() as opened:
        for _ in range(SPARE_FILES):
            opened.enter_context(open(os.devnull, 'rb'))


def _form(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Shape, type and sharding of a leaf; that of a key which was restored is of the numbers behind it."""
    sharding = leaf.sharding
    if isinstance(sharding, NamedSharding):
        sharding = NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[: leaf.ndim]))
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _context() -> ocp.Context:
    """Orbax's settings: the part 'meta' is JSON."""
    registry = ocp.handlers.local_registry()
    registry.add(ocp.handlers.JsonHandler, checkpointable_name=META)
    context = ocp.Context()
    context.checkpointables.registry = registry
    context.array.saving.min_slice_bytes_for_replica_parallel = LEAST_SLICE_BYTES
    return context


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


def _why(directory: Path, error: Exception) -> str:
    """Why a save failed: the disk, the machine, the folder; else the error's own words."""
    if reason := disk_reason(directory, error):
        return f'{reason}, then go on'
    try:
        check_shortage(error)
    except ShortageError as short:
        return str(short)
    above = next(path for path in directory.parents if path.exists())
    if directory.exists() and not directory.is_dir():
        return 'it is a file; move it away'
    if isinstance(error, PermissionError) or not os.access(above, os.W_OK):
        return 'the folder is not writable'
    if isinstance(error, StorageError):
        return str(error)
    return f'{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else "no message"}'
