"""Pictures to try fine-tuning on, cut from photographs that scikit-learn and scikit-image carry: no download.

    python -m cnn_jax.data.bundled --to=photos

Writes JPEG files of 72 by 72 pixels. `photos/first/<split>/<class>/`: six classes of equal size, to train a net that
another can start from. `photos/second/<class>/` with `photos/second/labels.csv`: five other classes, the largest six
times the smallest, whose splits stand in the CSV file.

Each class is one photograph, laid out in tiles of 90 pixels; of five tiles three are for training, one for validation
and one for testing, and a piece lies within one, so no pixel is in two splits. It is the light, the colours and the
texture of a scene that a net can learn here, and no accuracy on it says anything of other pictures.
"""

import argparse
import csv
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.data.formats.image_header import FORMATS
from cnn_jax.errors import CnnJaxError, DataError

SIDE, TILE = 72, 90  # pixels of a piece and of the tile that it lies in
SPLITS = ('train', 'train', 'train', 'val', 'test')  # of tiles side by side; each row of tiles begins two later
HELD = 20  # pieces of a class for validation, and as many for testing


class Photograph(NamedTuple):
    """A class: the package that carries its photograph, the file there, and how many pieces there are to train on."""

    package: str
    file: str
    pieces: int


FIRST = {
    'flower': Photograph('sklearn', 'datasets/images/flower.jpg', 60),
    'galaxies': Photograph('skimage', 'data/hubble_deep_field.jpg', 60),
    'grass': Photograph('skimage', 'data/grass.png', 60),
    'rocket': Photograph('skimage', 'data/rocket.jpg', 60),
    'temple': Photograph('sklearn', 'datasets/images/china.jpg', 60),
    'tissue': Photograph('skimage', 'data/ihc.png', 60),
}
SECOND = {
    'astronaut': Photograph('skimage', 'data/astronaut.png', 40),
    'cat': Photograph('skimage', 'data/chelsea.png', 60),
    'coffee': Photograph('skimage', 'data/coffee.png', 30),
    'gravel': Photograph('skimage', 'data/gravel.png', 20),
    'motorcycle': Photograph('skimage', 'data/motorcycle_left.png', 10),
}


def write(to: Path) -> None:
    """Writes both folders below `to`.

    Raises:
        CnnJaxError: it holds something already.
        DataError: a package or a photograph is missing, or the folder cannot be written.
    """
    files = {name: find(photograph) for name, photograph in (FIRST | SECOND).items()}
    try:
        if to.exists() and any(to.iterdir()):
            raise CnnJaxError(f'--to: {to} holds something already; give another folder')
        for name in FIRST:
            for split, pieces in _cut(files[name], FIRST[name].pieces).items():
                _save(pieces, to / 'first' / split / name)
        rows = []
        for name in SECOND:
            start = 0
            for split, pieces in _cut(files[name], SECOND[name].pieces).items():
                _save(pieces, to / 'second' / name, start)
                rows += [(f'{name}/{start + number}.jpg', name, split) for number in range(len(pieces))]
                start += len(pieces)
        with (to / 'second' / 'labels.csv').open('w', encoding='utf-8', newline='') as file:
            csv.writer(file).writerows([('file', 'label', 'split'), *rows])
    except OSError as error:
        raise DataError(f'cannot write to {to}: {error.strerror}; give another folder with --to') from error


def find(photograph: Photograph) -> Path:
    """The file in the installed package, which is not imported; DataError where it is missing."""
    spec = importlib.util.find_spec(photograph.package)
    if spec is None or spec.origin is None:
        raise DataError(f'the package {photograph.package} is not installed; pip install -r requirements.txt')
    path = Path(spec.origin).parent / photograph.file
    if not path.is_file():
        raise DataError(f'{path} is not in the installed {photograph.package}; pip install -r requirements.txt')
    return path


def _cut(path: Path, count: int) -> dict[str, list[np.ndarray]]:
    """Pieces of a photograph for each split, uint8 (SIDE, SIDE, 3), from its tiles in turn: always the same."""
    from PIL import Image

    pixels = np.asarray(Image.open(path, formats=FORMATS).convert('RGB'))  # (height, width, 3)
    tiles: dict[str, list[tuple[int, int]]] = {}
    for row, column in np.ndindex(pixels.shape[0] // TILE, pixels.shape[1] // TILE):
        tiles.setdefault(SPLITS[(column + 2 * row) % len(SPLITS)], []).append((row * TILE, column * TILE))
    rng, found = np.random.default_rng(0), {}
    for split, corners in tiles.items():
        found[split] = []
        for number in range(count if split == 'train' else HELD):
            top, left = corners[number % len(corners)] + rng.integers(TILE - SIDE + 1, size=2)
            found[split].append(pixels[top : top + SIDE, left : left + SIDE])
    return found


def _save(pieces: Sequence[np.ndarray], folder: Path, start: int = 0) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, piece in enumerate(pieces, start):
        Image.fromarray(piece).save(folder / f'{number}.jpg', quality=90)


def main(arguments: Sequence[str] | None = None) -> int:
    """Cuts the photographs as the command line says; the exit code."""
    parser = argparse.ArgumentParser(
        prog='python -m cnn_jax.data.bundled', description=(__doc__ or '').partition('\n')[0]
    )
    parser.add_argument('--to', type=Path, required=True, help='the folder to write, new or empty')
    to = parser.parse_args(arguments).to
    try:
        write(to)
    except CnnJaxError as error:
        print(f'cnn_jax: error: {error}', file=sys.stderr)
        return error.exit_code
    for name, classes in (('first', FIRST), ('second', SECOND)):
        print(f'{to / name}: {", ".join(f"{label} {one.pieces}" for label, one in classes.items())} to train on, '
              f'{HELD} of each for validation and for testing')  # fmt: skip
    return 0


if __name__ == '__main__':
    sys.exit(main())
