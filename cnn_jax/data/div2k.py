"""DIV2K: 900 photographs of some 2,000 pixels a side, each also small; from the user's files.

Agustsson and Timofte 2017, "NTIRE 2017 challenge on single image super-resolution". Pictures 1 to 800 are for training,
of which the last ones are held out to choose by; 801 to 900, the published validation set, are for testing, as nobody
has the large pictures of the published test set.

A row is a block of a picture. So an evaluation here is the mean over blocks, and a published number that over whole
pictures: `python -m benchmarks.div2k` measures those.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnn_jax.data import photograph_blocks
from cnn_jax.data.formats.annotated import Picture, open_kept, read_bytes
from cnn_jax.data.formats.image import decode
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.made import made_once
from cnn_jax.data.formats.shrunk import Pairs, check_scale, fields_of, pack, read_whole, shrink
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, DataError

NAME = 'DIV2K'  # of the folder that has those of the published archives
FOLDERS = {'train': 'DIV2K_train', 'validation': 'DIV2K_train', 'test': 'DIV2K_valid'}  # the start of their names
PUBLISHED = {'DIV2K_train': 800, 'DIV2K_valid': 100}  # pictures
SMALL = {'DIV2K_train': 6, 'DIV2K_valid': 2}
SMALL_SIZE, SMALL_SIDES = 48, (120, 168)  # of a block, and of a picture, of a small set
GRIDS = {'train': (4, 6), 'validation': (3, 5), 'test': (3, 5)}  # blocks down and across, of a picture that is wide
MAX_BAD = 0.001
AT_ONCE = 16  # pictures in memory


def load(*, batch_size: int, scale: int = 2, size: int = 384, held_out: int = 10, smoke: bool = False) -> Data:
    """Small blocks, uint8 (size / scale, size / scale, 3), and beside each `high_resolution` (size, size, 3).

    `data_dir/DIV2K` has the folders of the published archives: DIV2K_train_HR, DIV2K_train_LR_bicubic/X2 (or X3, X4),
    DIV2K_valid_HR and DIV2K_valid_LR_bicubic/X2. The small pictures are the published ones, which MATLAB made. A
    picture gives 24 blocks for training, 15 for validation and testing, spread evenly; they overlap where it is short.

    Args:
        scale: 2, 3 or 4.
        size: pixels of a block's side.
        held_out: pictures of the training set, the last ones, for validation; 0: none.
        smoke: a small tree of the same form, written below `data_dir` at first use: pieces of bundled photographs.

    Raises:
        CnnJaxError: a value out of range, named.
    """
    size, held_out = (SMALL_SIZE, min(held_out, 2)) if smoke else (size, held_out)
    check_scale(scale, size)
    pictures = SMALL if smoke else PUBLISHED
    if not 0 <= held_out < pictures['DIV2K_train']:
        raise CnnJaxError(f'held_out: got {held_out}; it is 0 to {pictures["DIV2K_train"] - 1} pictures')
    counts = {'train': pictures['DIV2K_train'] - held_out, 'validation': held_out, 'test': pictures['DIV2K_valid']}
    splits = {split: count * int(np.prod(GRIDS[split])) for split, count in counts.items() if count}

    def open_split(split: str, data_dir: Path, *, whole: bool = False) -> Pairs:
        if split not in splits:
            raise CnnJaxError(f'split: {split!r} is not one of {", ".join(splits)}')
        home = data_dir / (f'{NAME}_smoke' if smoke else NAME)
        if smoke:
            made_once(home, write_small)
        read = functools.partial(read_blocks, scale=scale, size=size, grid=GRIDS[split])
        form = f'x{scale}_{size}'
        listed = list_pictures(home, split, scale, held_out)
        kept = open_kept(home, split, listed, read, form=form, max_bad=MAX_BAD, whole=whole, at_once=AT_ONCE)
        return Pairs(kept, scale)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        for split, expected in splits.items():
            count = len(open_split(split, data_dir, whole=True))
            note = '' if count == expected else f', NOT the {expected:,} of the published pictures'
            say(f'div2k {split}: {count:,} blocks below {data_dir}{note}')

    small = size // scale
    return Data(
        name='div2k',
        batch_size=batch_size,
        splits=splits,
        image_shape=(small, small, 3),
        fields=fields_of(small, scale),
        open=open_split,
        prepare=prepare,
        decode=read_whole,
        streamed=True,
    )


def list_pictures(home: Path, split: str, scale: int, held_out: int) -> list[Picture]:
    """The pictures of a split in the order of their names, each with its large file and its small one.

    Raises:
        DataError: a folder is missing, or has no pictures.
    """
    start = FOLDERS[split]
    large, small = home / f'{start}_HR', home / f'{start}_LR_bicubic' / f'X{scale}'
    for folder in (large, small):
        if not folder.is_dir():
            raise DataError(
                f'{folder} is not there; unpack {start}_HR.zip and {start}_LR_bicubic_X{scale}.zip into {home}, and '
                f'run the same command with --mode=prepare --data_dir={home.parent}'
            )
    names = sorted(path.stem for path in large.glob('*.png'))
    if start == 'DIV2K_train' and held_out:
        names = names[-held_out:] if split == 'validation' else names[:-held_out]
    if not names:
        raise DataError(f'{large} has too few PNG files for {split}; unpack {start}_HR.zip again')
    return [Picture(f'{start} {name}', (large / f'{name}.png', small / f'{name}x{scale}.png')) for name in names]


def read_blocks(picture: Picture, *, scale: int, size: int, grid: tuple[int, int]) -> list[dict[str, Any]]:
    """The blocks of a picture, packed; a tall picture has the grid turned.

    Raises:
        BadImage: a file that cannot be read, a small one of another size than the scale says, or less than a block.
    """
    large, small = (decode(read_bytes(file)) for file in picture.files)
    if large.shape != (small.shape[0] * scale, small.shape[1] * scale, 3):
        raise BadImage(f'it has {_sides(large)} pixels and its small one {_sides(small)}; that is not {scale} times')
    side = size // scale
    if min(small.shape[:2]) < side:
        raise BadImage(f'it has {_sides(large)} pixels, less than a block of {size}')
    rows, columns = grid if small.shape[1] >= small.shape[0] else grid[::-1]
    tops, lefts = _spread(small.shape[0] - side, rows), _spread(small.shape[1] - side, columns)
    return [
        {
            'image': pack(
                small[top : top + side, left : left + side],
                large[top * scale : (top + side) * scale, left * scale : (left + side) * scale],
            )
        }
        for top in tops
        for left in lefts
    ]


def _spread(room: int, count: int) -> list[int]:
    """Whole numbers from 0 to `room`, evenly."""
    return np.linspace(0, room, count).round().astype(int).tolist()


def _sides(pixels: np.ndarray) -> str:
    return f'{pixels.shape[1]} x {pixels.shape[0]}'


def write_small(home: Path) -> None:
    """A small tree in the form of the published archives, with pieces of the bundled photographs, at every scale."""
    number, (height, width) = 0, SMALL_SIDES
    photographs = [photograph_blocks.read_photograph(name) for name in ('china', 'flower')]
    for start, count in SMALL.items():
        (home / f'{start}_HR').mkdir(parents=True)
        for _ in range(count):
            photograph, place = photographs[number % 2], number // 2
            top, left = divmod(place, photograph.shape[1] // width)
            piece = photograph[top * height : (top + 1) * height, left * width : (left + 1) * width]
            number += 1
            Image.fromarray(piece).save(home / f'{start}_HR' / f'{number:04d}.png')
            for scale in (2, 3, 4):
                folder = home / f'{start}_LR_bicubic' / f'X{scale}'
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(shrink(piece, scale)).save(folder / f'{number:04d}x{scale}.png')
