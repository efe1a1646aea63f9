"""Files of `torch.save` without torch: the zip form of today, and the stream of pickles of torch before 1.6."""

import io
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import StorageError, check_shortage
from cnn_jax.weights.normalise import Taken, find_weights
from cnn_jax.weights.torch_values import Skipped, Storage, Tensor
from cnn_jax.weights.unpickle import read_pickle

MOST_PICKLE_BYTES = 16 * 2**20  # of the part without numbers; a ResNet-152 has 0.2 MB
MOST_MEMBERS = 100_000
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MOST_NAMED = 5  # of what was skipped


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict by name, in torch's layouts; see `take_torch`."""
    return take_torch(path).arrays


def take_torch(path: Path) -> Taken:
    """The arrays of a state dict by name, in torch's layouts, and what was skipped on the way to them.

    Of a training checkpoint those that `find_weights` takes.

    Raises:
        StorageError: unreadable, damaged, or holding anything but tensors and containers.
    """
    try:
        with path.open('rb') as file:
            if file.read(4) == b'PK\x03\x04':
                tree, load = _open_zip(path)
            else:
                file.seek(0)
                tree, load = _open_legacy(path, file)
    except OSError as error:
        raise StorageError(f'{path}: cannot be read: {error.strerror or error}') from error
    taken = find_weights(tree, what=str(path), is_array=lambda value: isinstance(value, Tensor), error=StorageError)
    skipped = [f'{key} ({name})' for key, name in _skipped(tree)]
    notes = [f'skipped unread: {", ".join(skipped[:MOST_NAMED])}'] if skipped else []
    return Taken({name: _view(tensor, load) for name, tensor in taken.arrays.items()}, (*taken.notes, *notes))


def _skipped(tree: dict) -> Iterator[tuple[str, str]]:
    """What was not read, by the key of the file that it is below."""
    for key, value in tree.items():
        inner = [value, *(value.values() if isinstance(value, dict) else [])]
        found = sorted({part.name for part in inner if isinstance(part, Skipped)})
        yield from ((ascii(key)[1:-1][:60], name) for name in found)


def _view(tensor: Tensor, load: Callable[[Storage], np.ndarray]) -> np.ndarray:
    """The tensor as a view of its storage: nothing is copied here, however many tensors share one."""
    numbers = load(tensor.storage)
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, numbers.dtype)
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return np.ndarray(tensor.shape, numbers.dtype, numbers, tensor.offset * numbers.itemsize, strides)


def _dtype(storage: Storage, order: Literal['<', '>']) -> np.dtype:
    dtype = np.dtype(jnp.bfloat16 if storage.dtype == 'bfloat16' else storage.dtype)
    return dtype.newbyteorder(order)


def _open_zip(path: Path) -> tuple[Any, Callable[[Storage], np.ndarray]]:
    """The pickled tree, and a function that reads a storage."""
    members = _members(path)
    roots = [name.removesuffix('data.pkl') for name in members if name.split('/')[1:] == ['data.pkl']]
    if len(roots) != 1:
        raise StorageError(f'{path}: a zip file without NAME/data.pkl, so not one of torch.save')
    root = roots[0]
    if members[f'{root}data.pkl'].file_size > MOST_PICKLE_BYTES:
        raise StorageError(f'{path}: data.pkl has over {MOST_PICKLE_BYTES} bytes; a state dict needs far fewer')
    tree = read_pickle(io.BytesIO(_member(path, members[f'{root}data.pkl'])), what=str(path))
    order = b'little'
    if f'{root}byteorder' in members:
        order = _member(path, members[f'{root}byteorder'])[:16]
    cache: dict[str, bytes] = {}

    def load(storage: Storage) -> np.ndarray:
        dtype = _dtype(storage, '>' if order == b'big' else '<')
        name = f'{root}data/{storage.key}'
        if name not in members or members[name].file_size != storage.size * dtype.itemsize:
            raise StorageError(
                f'{path}: storage {ascii(storage.key)[:40]} is missing or not of {storage.size} elements'
            )
        if name not in cache:
            cache[name] = _member(path, members[name])
        return np.frombuffer(cache[name], dtype)

    return tree, load


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries of the archive, checked before any is read: torch stores them uncompressed, side by side."""
    size = path.stat().st_size
    found: dict[str, zipfile.ZipInfo] = {}
    infos: list[zipfile.ZipInfo] = _archive(path, lambda archive: archive.infolist())
    if any(re.fullmatch(r'[^/]+/(constants\.pkl|code/.*)', info.filename) for info in infos):
        raise StorageError(
            f'{path}: this is TorchScript (torch.jit.save), a program with its weights; save these alone: '
            'torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)'
        )
    for info in infos:
        name = info.filename
        problem = None
        if name.startswith(('/', '\\')) or '..' in name.replace('\\', '/').split('/'):
            problem = 'a path that leaves the archive'
        elif name in found:
            problem = 'the name of another entry'
        elif info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            problem = 'compressed data, which torch.save never writes'
        if problem:
            raise StorageError(f'{path}: refused: entry {ascii(name)[:100]} has {problem}')
        found[name] = info
    if len(found) > MOST_MEMBERS or sum(info.file_size for info in found.values()) > size:
        raise StorageError(f'{path}: refused: its entries overlap, or are more than {MOST_MEMBERS}')
    return found


def _member(path: Path, info: zipfile.ZipInfo) -> bytes:
    return _archive(path, lambda archive: archive.read(info))


def _archive(path: Path, read: Callable[[zipfile.ZipFile], Any]) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return read(archive)
    except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, IndexError, struct.error, OverflowError) as error:
        check_shortage(error)
        raise StorageError(f'{path}: a damaged zip file: {str(error)[:200]}') from error


class _Clamped:
    """A file that is asked for no more bytes than it has: memory for a length that lies would be taken first."""

    def __init__(self, file: BinaryIO, end: int):
        self._file, self._end = file, end

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._end - self._file.tell()))

    def readline(self) -> bytes:
        return self._file.readline()

    def tell(self) -> int:
        return self._file.tell()


def _open_legacy(path: Path, file: Any) -> tuple[Any, Callable[[Storage], np.ndarray]]:
    """Pickles of magic number, protocol, system, tree and storage keys; then each storage: its size, its numbers."""
    file.seek(0, io.SEEK_END)
    end = file.tell()
    file.seek(0)
    if file.read(1) != b'\x80':
        raise StorageError(f'{path}: not a file of torch.save (neither a zip file nor a pickle)')
    file.seek(0)
    what = str(path)
    pickles: Any = _Clamped(file, end)
    magic, protocol, system = (read_pickle(pickles, what=what) for _ in range(3))
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL:
        raise StorageError(f'{path}: a pickle, but not one of torch.save; pickles of other programs are not read')
    order: Literal['<', '>'] = '<' if not isinstance(system, dict) or system.get('little_endian', True) else '>'
    tree = read_pickle(pickles, what=what)
    keys = read_pickle(pickles, what=what)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise StorageError(f'{path}: its list of storages is damaged')
    sizes = {storage.key: storage for storage in _storages(tree)}
    numbers: dict[str, np.ndarray] = {}
    for key in keys:
        numbers[key] = _read_storage(path, file, sizes.get(key), end, order)
    if set(sizes) - set(numbers):
        raise StorageError(f'{path}: {len(set(sizes) - set(numbers))} storages are missing')

    def load(storage: Storage) -> np.ndarray:
        found = numbers[storage.key]
        if len(found) != storage.size or found.dtype != _dtype(storage, order):
            raise StorageError(f'{path}: storage {ascii(storage.key)[:40]} has two types')
        return found

    return tree, load


def _read_storage(path: Path, file: Any, storage: Storage | None, end: int, order: Literal['<', '>']) -> np.ndarray:
    header = file.read(8)
    if storage is None or len(header) < 8:
        raise StorageError(f'{path}: cut off, or with a storage that no tensor uses')
    dtype = _dtype(storage, order)
    (size,) = struct.unpack(f'{order}q', header)
    if size != storage.size or size * dtype.itemsize > end - file.tell():
        raise StorageError(f'{path}: storage {ascii(storage.key)[:40]} is cut off, or not of {storage.size} elements')
    return np.frombuffer(file.read(size * dtype.itemsize), dtype)


def _storages(tree: Any) -> Iterator[Storage]:
    """Every storage that a tensor in the tree views; each container is visited once."""
    pending, seen = [tree], set()
    while pending:
        value = pending.pop()
        if isinstance(value, Tensor):
            yield value.storage
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            pending.extend(value.values() if isinstance(value, dict) else value)
