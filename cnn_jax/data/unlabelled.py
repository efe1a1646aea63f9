"""Pictures without labels: crops of bundled photographs, or of a folder of your own.

The photographs are those of `photograph_blocks`, which scikit-learn and scikit-image carry: no download. Seven are
little; a net that learned from them may not know what other pictures need.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.bundled import Photograph, find
from cnn_jax.data.formats import crops, image, remembered, tree
from cnn_jax.data.formats.bad_images import BadImages
from cnn_jax.data.formats.image_header import SUFFIXES, BadImage, read_header
from cnn_jax.data.formats.tree import Item
from cnn_jax.data.photograph_blocks import PHOTOGRAPHS
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, DataError

HELD_OUT = {'validation': ('rocket',), 'test': ('coffee', 'flower')}  # of the bundled photographs, whole
REPEATS = {'train': 32, 'validation': 8, 'test': 8}  # crops of a bundled photograph in an epoch
LARGEST = 3.0  # times the size of the images, at most, is the short side of a picture that is cropped

Say = Callable[[str], None]


def load(
    *,
    batch_size: int,
    image_size: int = 256,
    folder: str = '',
    test_fraction: float = 0.05,
    max_bad_images: float = 0.01,
) -> Data:
    """Square crops of pictures, uint8 (image_size, image_size, 3), with nothing beside them.

    A training crop is a square of `image_size` pixels at random in the picture made so small that its short side has
    one to three times as many; one for validation or testing is drawn in the same way, and stays the same.

    Args:
        folder: of image files, and folders of them, however deep; '': the bundled photographs, of which one is for
            validation and two are for testing.
        test_fraction: the share of the files of a folder that is for testing, by a hash of their names, and another
            such share is for validation; one file at least.
        max_bad_images: a larger share of files that cannot be read stops the run; one alone never does.

    Raises:
        CnnJaxError: a value out of range, named.
        DataError: a folder that is not there, or has less than three images.
    """
    if image_size < 16:
        raise CnnJaxError(f'image_size: got {image_size}; it is at least 16 pixels')
    if not 0 < test_fraction < 0.5:
        raise CnnJaxError(f'test_fraction: got {test_fraction}; it is a share between 0 and a half')
    listed = _of_folder(remembered.path_of(folder), test_fraction) if folder else None
    known = remembered.current()
    if folder and listed is None and known is not None:
        counts = dict(known.splits)
    else:
        counts = {split: len(rows) for split, rows in (listed or _bundled_names()).items()}

    def open_split(split: str, data_dir: Path) -> Pictures:
        if split not in counts:
            raise CnnJaxError(f'split: {split!r} is not one of {", ".join(counts)}')
        found = listed or (None if folder else _bundled())
        if found is None:
            raise DataError(f'{remembered.path_of(folder)} is not there any more; give another folder')
        return Pictures(split, found[split], image_size, max_bad_images)

    def prepare(data_dir: Path, say: Say) -> None:
        for split in counts:
            say(f'pictures {split}: {len(open_split(split, data_dir)):,}')

    return Data(
        name=f'pictures of {Path(folder).name}' if folder else 'bundled photographs',
        batch_size=batch_size,
        splits=counts,
        image_shape=(image_size, image_size, 3),
        fields={},
        open=open_split,
        prepare=prepare,
        streamed=True,
    )


class Pictures:
    """One split: row i is a crop of file i, {'image': uint8 (size, size, 3)}; training draws another each epoch."""

    def __init__(self, split: str, items: Sequence[Item], size: int, max_bad_images: float) -> None:
        self._items, self._size = items, size
        self._crop = functools.partial(crops.scale_jitter, short=(size, round(LARGEST * size)), size=size)
        self.bad_images = BadImages(f'pictures {split}', len({one.name for one in items}), max_bad_images)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, row: int) -> dict[str, Any]:
        try:
            return {'image': self._read(row, crops.generator(0, 0, row), self._size)}
        except BadImage as error:
            self.bad_images.add(row, f'{self._items[row].name}: {error}', instead='it is not counted')
            return {'image': np.zeros((self._size, self._size, 3), np.uint8), 'readable': False}

    def read_random(
        self, rows: Sequence[int], *, epochs: Sequence[int], seed: int, size: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows as training sees them: a pure function of (seed, epoch, row); for a bad file the next good one."""
        return [self._random(row, epoch, seed, size or self._size) for row, epoch in zip(rows, epochs, strict=True)]

    def _random(self, row: int, epoch: int, seed: int, size: int) -> dict[str, Any]:
        for other in range(row, row + len(self)):
            place = other % len(self)
            try:
                return {'image': self._read(place, crops.generator(seed, epoch, row), size)}
            except BadImage as error:
                self.bad_images.add(place, f'{self._items[place].name}: {error}', instead='the next one is taken')
        raise DataError('none of the pictures can be read')

    def _read(self, row: int, generator: np.random.Generator, size: int) -> np.ndarray:
        encoded = self._items[row].read()
        header = read_header(encoded, upright=True)
        return image.decode_box(encoded, self._crop(generator, header.height, header.width), size=size, header=header)


def _bundled_names() -> dict[str, list[str]]:
    """The bundled photographs of each split, each as often as it is cropped; known without their files."""
    held = {name for names in HELD_OUT.values() for name in names}
    names = {'train': [name for name in PHOTOGRAPHS if name not in held], **HELD_OUT}
    return {split: list(found) * REPEATS[split] for split, found in names.items()}


def _bundled() -> dict[str, list[Item]]:
    items = {}
    for name, known in PHOTOGRAPHS.items():
        path = find(Photograph(known.package, known.file, 0))
        items[name] = Item(name, 0, path, 0, path.stat().st_size)
    return {split: [items[name] for name in names] for split, names in _bundled_names().items()}


def _of_folder(root: Path, test_fraction: float) -> dict[str, list[Item]] | None:
    """The files of each split; None where a run that was trained is made again without its folder.

    Raises: DataError for a folder that is not there, or has no three images.
    """
    if not root.is_dir():
        if remembered.current() is not None:
            return None
        raise DataError(f'folder: {root} is {"a file" if root.exists() else "not there"}; give a folder of pictures')
    items, left_out = tree.list_images(root, 0)
    if len(items) < 3:
        raise DataError(f'folder: {root} has {len(items)} images ({", ".join(SUFFIXES)}); at least 3 are needed')
    tree.say_left_out(root, left_out)
    ordered = sorted(items, key=lambda one: hashlib.sha256(one.name.encode()).hexdigest())
    count = min(max(1, round(test_fraction * len(ordered))), (len(ordered) - 1) // 2)
    return {'train': ordered[2 * count :], 'validation': ordered[count : 2 * count], 'test': ordered[:count]}
