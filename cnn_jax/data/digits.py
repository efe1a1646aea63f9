"""scikit-learn's digits: 1,797 real scans of handwritten digits, 8 by 8, as 32 by 32 images; needs no download.

The test set of NIST's optical recognition data (UCI, Alpaydin and Kaynak 1998), which scikit-learn carries with it.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cnn_jax.data.formats import array_record
from cnn_jax.data.held_out import Part, divide, hold_out
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import DataError

NAME = 'cnn_jax_digits'
SPLITS = {'train': 1437, 'test': 360}
CLASS_NAMES = tuple(str(digit) for digit in range(10))
IMAGE_SHAPE = (32, 32, 1)


def load(*, batch_size: int, validation: float = 0.1) -> Data:
    """The digits, 1,437 to train and 360 to test on, stratified; uint8 (32, 32, 1), 0 is paper and 255 is ink.

    Of those to train on, the share `validation` is held out to choose by (see `held_out`), 0 for none. The set is
    written to `data_dir/cnn_jax_digits` at first use, in about two seconds.
    """
    data = Data(
        name='digits',
        batch_size=batch_size,
        splits=dict(SPLITS),
        class_names=CLASS_NAMES,
        image_shape=IMAGE_SHAPE,
        open=open_split,
        prepare=prepare,
    )
    return hold_out(data, validation)


def open_split(split: str, data_dir: Path) -> Source:
    """The rows of a split, the set written first where it is not there; raises DataError where it cannot be.

    On Windows, which has no ArrayRecord, the rows are made anew and kept in memory.
    """
    if not array_record.is_installed():
        return [{'image': image, 'label': label} for image, label in examples(split)]
    source = array_record.ArrayRecordSource(_folder(data_dir), split)
    if len(source) != SPLITS[split]:
        raise DataError(
            f'{split} has {len(source)} images, {SPLITS[split]} expected: {source.folder}; '
            'delete that folder, it is written again at the next start'
        )
    return source


def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
    """Writes the set below `data_dir` where it is not there, and reads it back."""
    folder = _folder(data_dir) if array_record.is_installed() else 'memory'
    for split in SPLITS:
        say(f'digits {split}: {len(open_split(split, data_dir)):,} images in {folder}')


def _folder(data_dir: Path) -> Path:
    if folder := array_record.find(NAME, data_dir):
        return folder
    splits = {split: lambda split=split: examples(split) for split in SPLITS}
    return array_record.build(NAME, data_dir, splits, shape=IMAGE_SHAPE, class_names=CLASS_NAMES)


def examples(split: str) -> Iterator[tuple[np.ndarray, int]]:
    """The (image, label) pairs of a split, made from scikit-learn's arrays; the same split whatever the run's seed."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    scans, labels = load_digits(return_X_y=True)  # (1797, 64), (1797,)
    parts = train_test_split(scans, labels, test_size=360, stratify=labels, random_state=0)
    scans, labels = parts[split == 'test' :: 2]  # parts: scans to train, to test, labels to train, to test
    for scan, label in zip(scans, labels, strict=True):
        yield to_image(scan.reshape(8, 8)), int(label)


def to_image(scan: np.ndarray) -> np.ndarray:
    """An 8 by 8 scan with values 0 .. 16 as uint8 (32, 32, 1): 3 by 3 pixels a value, 4 pixels of paper around."""
    pixels = np.round(scan * 255 / 16).astype(np.uint8)
    enlarged = np.repeat(np.repeat(pixels, 3, axis=0), 3, axis=1)  # (24, 24), nearest
    return np.pad(enlarged, 4)[..., None]  # (32, 32, 1)


@functools.cache
def scans_of(split: str, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """The scans of a split for scenes that are made of them, uint8 (scans, 8, 8); and their classes, int (scans,).

    split: 'train', 'validation', which holds `part` of those for training, or 'test'.
    """
    pairs = list(examples('test' if split == 'test' else 'train'))
    if split != 'test' and part.share:
        digests = [hashlib.sha256(image.tobytes()).digest() for image, _ in pairs]
        train, held = divide(digests, [label for _, label in pairs], part, CLASS_NAMES)
        pairs = [pairs[row] for row in (held if split == 'validation' else train)]
    scans = np.stack([image[4:-4:3, 4:-4:3, 0] for image, _ in pairs])  # without the enlargement
    return scans, np.array([label for _, label in pairs])
