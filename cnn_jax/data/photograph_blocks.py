"""Blocks of photographs for super-resolution, from scikit-learn and scikit-image: needs no download.

Each photograph is laid out in square blocks; of five side by side one is for testing and four are for training, of
which a fold holds one out for validation. A row is a block, and the same block made small by itself, so no pixel, and
nothing that was computed of one, is in two splits. Two photographs are little: what is good at them knows their
textures, and no score on them says what a net does on others.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.bundled import Photograph, find
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.image import decode
from cnn_jax.data.formats.kept import Rows, keep
from cnn_jax.data.formats.shrunk import HIGH, check_scale, fields_of, read_whole, shrink
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, DataError

NAME = 'cnn_jax_photograph_blocks'
VERSION = 1  # of the layout: another one has other blocks
SIDE_BY_SIDE, FOLDS = 5, 4  # blocks of a row of which one is for testing; each of the others is held out by a fold


class Bundled(NamedTuple):
    """A photograph of a package, uint8 RGB, and its sides in pixels, known without opening it."""

    package: str
    file: str
    height: int
    width: int


PHOTOGRAPHS = {
    'china': Bundled('sklearn', 'datasets/images/china.jpg', 427, 640),
    'flower': Bundled('sklearn', 'datasets/images/flower.jpg', 427, 640),
    'astronaut': Bundled('skimage', 'data/astronaut.png', 512, 512),
    'cat': Bundled('skimage', 'data/chelsea.png', 300, 451),
    'coffee': Bundled('skimage', 'data/coffee.png', 400, 600),
    'motorcycle': Bundled('skimage', 'data/motorcycle_left.png', 500, 741),
    'rocket': Bundled('skimage', 'data/rocket.jpg', 427, 640),
}


class Block(NamedTuple):
    """A square of a photograph: its name, and the corner in pixels."""

    photograph: str
    top: int
    left: int


def load(
    *,
    batch_size: int,
    scale: int = 2,
    size: int = 96,
    photographs: tuple[str, ...] = ('china', 'flower'),
    validation: bool = True,
    fold: int = 0,
) -> Data:
    """Blocks made small, uint8 (size / scale, size / scale, 3), and beside each `high_resolution` (size, size, 3).

    `label` is the place of its photograph among `photographs`. The small blocks are those of `formats.shrunk`.

    Args:
        scale: 2, 3 or 4.
        size: pixels of a block's side.
        photographs: names of `PHOTOGRAPHS`.
        validation: whether a quarter of the blocks that are not for testing is held out.
        fold: which quarter, 0 to 3.

    Raises:
        CnnJaxError: a value out of range, named.
    """
    check_scale(scale, size)
    _check_photographs(photographs)
    folds = FOLDS if validation else 1
    if not 0 <= fold < folds:
        raise CnnJaxError(f'fold: got {fold}; photograph_blocks has the folds 0 to {folds - 1}')
    blocks = _blocks(photographs, size, fold if validation else None)
    empty = [split for split, found in blocks.items() if not found]
    if empty:
        raise CnnJaxError(f'size: got {size}; no block of it is left for {empty[0]}; take a smaller one')
    small = size // scale
    fields: Fields = {**fields_of(small, scale), 'label': Field('int32', least=0, most=len(photographs) - 1)}
    options: dict[str, Any] = {'batch_size': batch_size, 'scale': scale, 'size': size, 'photographs': photographs}

    def open_split(split: str, data_dir: Path) -> Rows:
        if split not in blocks:
            raise CnnJaxError(f'split: {split!r} is not one of {", ".join(blocks)}')
        held = f'_fold{fold}' if validation and split != 'test' else ''
        form = f'{"-".join(photographs)}_{size}_x{scale}_v{VERSION}'
        read = functools.cache(read_photograph)

        def make(row: int) -> dict[str, Any]:
            name, top, left = blocks[split][row]
            pixels = read(name)[top : top + size, left : left + size]
            return {'image': shrink(pixels, scale), HIGH: pixels, 'label': photographs.index(name)}

        return keep(data_dir / NAME / form / f'{split}{held}.npz', len(blocks[split]), make)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        for split in blocks:
            say(f'photograph blocks {split}: {len(open_split(split, data_dir)):,} in {data_dir / NAME}')

    return Data(
        name='photograph blocks',
        batch_size=batch_size,
        splits={split: len(found) for split, found in blocks.items()},
        class_names=photographs,
        image_shape=(small, small, 3),
        fields=fields,
        open=open_split,
        prepare=prepare,
        decode=read_whole,
        folds=folds,
        fold=fold,
        make_fold=lambda fold: load(**options, fold=fold),
    )


def read_photograph(name: str) -> np.ndarray:
    """The pixels of one of `PHOTOGRAPHS`, uint8 (height, width, 3).

    Raises:
        DataError: it is missing, or another one than this file knows.
    """
    known = PHOTOGRAPHS[name]
    path = find(Photograph(known.package, known.file, 0))
    pixels = decode(path.read_bytes())
    if pixels.shape != (known.height, known.width, 3):
        raise DataError(
            f'{path} is {pixels.shape[0]} x {pixels.shape[1]} pixels, {known.height} x {known.width} expected; '
            'pip install -r requirements.txt'
        )
    return pixels


def _blocks(photographs: tuple[str, ...], size: int, fold: int | None) -> dict[str, list[Block]]:
    """The blocks of each split; each row of blocks begins two places after the one above it."""
    splits: dict[str, list[Block]] = {'train': [], 'validation': [], 'test': []}
    for name in photographs:
        known = PHOTOGRAPHS[name]
        for row, column in np.ndindex(known.height // size, known.width // size):
            place = (column + 2 * row) % SIDE_BY_SIDE
            split = 'test' if place == SIDE_BY_SIDE - 1 else 'validation' if place == fold else 'train'
            splits[split].append(Block(name, row * size, column * size))
    if fold is None:
        del splits['validation']
    return splits


def _check_photographs(names: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in PHOTOGRAPHS]
    if unknown or not names or len(set(names)) != len(names):
        raise CnnJaxError(
            f'photographs: got {", ".join(names) or "none"}; give different ones of {", ".join(PHOTOGRAPHS)}'
        )
