"""The archives of CIFAR-10 and CIFAR-100, in their binary form or as pickles, read without extracting them.

A pickle can name any function; here it may name those alone that make NumPy arrays, all others are refused.
"""

import io
import pickle
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cnn_jax.errors import DataError, check_shortage

PIXELS = 3 * 32 * 32
MOST_BYTES = 2**28  # of one file in an archive; the largest has 155 MB

Arrays = tuple[np.ndarray, np.ndarray]
"""Images uint8 (n, 32, 32, 3) and labels int64 (n,)."""


def read_members(archive: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The files of a `.tar.gz` with these names, in whatever folder.

    Raises:
        DataError: unreadable, or a file is missing.
    """
    found = {}
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                name = PurePosixPath(member.name).name
                if member.isfile() and name in names and member.size <= MOST_BYTES:
                    content = opened.extractfile(member)
                    found[name] = content.read() if content else b''
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f'unreadable archive: {archive}; {error}; put a good copy there') from error
    if missing := [name for name in names if name not in found]:
        raise DataError(f'{archive} has no {", ".join(missing)}; put the published archive there')
    return found


def decode_binary(content: bytes, *, label_bytes: int, where: str) -> Arrays:
    """The images of a `.bin` file: for each, `label_bytes`, the last of which counts, then red, green, blue.

    Raises:
        DataError: cut short.
    """
    size = label_bytes + PIXELS
    if not content or len(content) % size:
        raise DataError(f'{where} has {len(content):,} bytes, no multiple of {size:,}; put the published archive there')
    rows = np.frombuffer(content, np.uint8).reshape(-1, size)
    return _to_images(rows[:, label_bytes:]), rows[:, label_bytes - 1].astype(np.int64)


def decode_pickle(content: bytes, *, label_key: str, where: str) -> Arrays:
    """The images of a pickled batch.

    Raises:
        DataError: damaged, or something else than a batch.
    """
    try:
        batch: Any = ArrayUnpickler(io.BytesIO(content), encoding='bytes').load()
        rows, labels = np.asarray(batch[b'data']), np.asarray(batch[label_key.encode()], np.int64)
        if rows.dtype != np.uint8 or rows.shape != (len(labels), PIXELS):
            raise ValueError(f'its data are {rows.dtype} {rows.shape}')
    except Exception as error:  # a damaged pickle raises anything
        check_shortage(error)
        reason = (str(error) or repr(error)).splitlines()[0]
        raise DataError(f'{where} is no batch of CIFAR: {reason}; put the published archive there') from error
    return _to_images(rows), labels


def _to_images(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))  # (n, 32, 32, 3)


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of plain values and NumPy arrays of numbers; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ('numpy.core.multiarray', 'numpy._core.multiarray') and name == '_reconstruct':
            return _reconstruct
        if (module, name) == ('numpy', 'ndarray'):
            return np.ndarray
        if (module, name) == ('numpy', 'dtype'):
            return _dtype
        if (module, name) == ('_codecs', 'encode'):  # bytes, as Python 3 writes them for Python 2
            return _latin1
        raise pickle.UnpicklingError(f'it asks for {module}.{name}, which is refused')


def _reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray:
    del kind, shape, code  # always those of an empty array; its state follows
    return np.empty(0, np.uint8)


def _dtype(code: Any, *flags: Any) -> np.dtype:
    del flags
    dtype = np.dtype(code.decode() if isinstance(code, bytes) else code)
    if dtype.kind not in 'biuf':
        raise pickle.UnpicklingError(f'it has an array of {dtype}, which is refused')
    return dtype


def _latin1(text: str, code: str) -> bytes:
    del code
    return text.encode('latin1')
