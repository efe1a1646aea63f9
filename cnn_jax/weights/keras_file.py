"""Backbones of VGG in Keras' weights files (`.weights.h5`), by the names of our layers; needs h5py.

What is read is the layout of Keras 3 for a net whose blocks are `block1` .. `block5`, each with its convolutions in
order, as HED's (Xie and Tu 2015, arXiv:1504.06375) has them. Such nets take Caffe's images: BGR, 0 .. 255 less the
mean. Only arrays that stand in the file as they are get read: no link, nothing compressed, nothing in another file.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.errors import StorageError, check_shortage
from cnn_jax.models.vgg import CAFFE_MEAN
from cnn_jax.weights.preprocessing import Preprocessing

MAGIC = b'\x89HDF\r\n\x1a\n'
BLOCKS, MOST_LAYERS = 5, 4  # of VGG, convolutions of a block
MOST_BYTES = 2**26  # of an array; the largest of VGG has 9.4 MB


def is_keras(path: Path) -> bool:
    """Whether a file begins as HDF5 does; False where it cannot be read."""
    try:
        with path.open('rb') as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def preprocessing_of(path: Path) -> Preprocessing:
    """Caffe's, at VGG's sizes."""
    mean = tuple(value / 255 for value in CAFFE_MEAN)
    return Preprocessing(224, 256, mean=mean, std=(1 / 255,) * 3, channels='BGR', source=f'Caffe, by {path.name}')


def read_backbone(path: Path) -> dict[str, np.ndarray]:
    """The convolutions of a file by our names, `params/conv1_1/kernel`; kernels (height, width, in, out).

    Raises:
        StorageError: it is damaged, of another layout, or h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise StorageError(f'{path}: HDF5 (Keras); to read it: pip install h5py') from error
    try:
        with h5py.File(path, 'r', locking=False) as file:
            found = _convolutions(file, h5py)
    except Exception as error:  # HDF5 raises what it likes on a damaged file
        check_shortage(error)
        why = ' '.join(str(error).split())[:200] or type(error).__name__
        raise StorageError(f'{path}: not a whole Keras file of a VGG: {why}') from error
    if not found:
        raise StorageError(
            f'{path}: HDF5, but no VGG as it is read here: block1/layers/conv2d/vars/0 and so on, as HED in Keras 3 '
            'has it; convert other files to safetensors'
        )
    return found


def _convolutions(file: Any, h5py: Any) -> dict[str, np.ndarray]:
    found = {}
    for block in range(1, BLOCKS + 1):
        before = len(found)
        for layer in range(1, MOST_LAYERS + 1):
            place = f'block{block}/layers/conv2d' + f'_{layer - 1}' * (layer > 1) + '/vars'
            kernel, bias = (_array(file, f'{place}/{number}', h5py) for number in (0, 1))
            if kernel is None or bias is None:
                break
            found |= {f'params/conv{block}_{layer}/kernel': kernel, f'params/conv{block}_{layer}/bias': bias}
        if len(found) == before:
            break
    return found


def _array(file: Any, place: str, h5py: Any) -> np.ndarray | None:
    """The array at a place; None where there is nothing.

    Raises: ValueError for one that does not stand there as it is.
    """
    part = file
    for name in place.split('/'):
        link = part.get(name, getlink=True) if isinstance(part, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f'{place} is a link to somewhere else')
        part = part[name]
    if not isinstance(part, h5py.Dataset) or part.dtype.kind != 'f' or part.dtype.itemsize > 8:
        raise ValueError(f'{place} is no array of numbers')
    if part.chunks is not None or part.is_virtual or part.external or part.nbytes > MOST_BYTES:
        raise ValueError(f'{place} is compressed, in another file, or too large')
    if part.id.get_storage_size() != part.nbytes:
        raise ValueError(f'{place} promises {part.nbytes} bytes and has {part.id.get_storage_size()}')
    return part[()].astype(np.float32)
