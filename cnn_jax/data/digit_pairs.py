"""Two of scikit-learn's digits on one image: real scans, generated layout; needs no download and no file.

A pure function of (split, row): the left digit and the right one, each somewhere in its half. The scans of the test
split are those of `digits`, so no scan is in both splits.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data import digits
from cnn_jax.data.formats.fields import Field
from cnn_jax.data.formats.generated import Generated
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError

SPLITS = {'train': 5000, 'test': 1000}
SIDE, SCAN = 32, 16  # pixels of the image and of a scan on it


def load(*, batch_size: int, num_train: int = SPLITS['train'], num_test: int = SPLITS['test']) -> Data:
    """Pairs of digits, uint8 (32, 32, 1), 0 is paper and 255 is ink; `labels` bool (10,): the digits that are there.

    Both digits may be the same: a tenth of the images has one label.
    """
    splits = {'train': num_train, 'test': num_test}
    return Data(
        name='pairs of digits',
        batch_size=batch_size,
        splits=splits,
        class_names=digits.CLASS_NAMES,
        image_shape=(SIDE, SIDE, 1),
        fields={'labels': Field('bool', (10,))},
        open=lambda split, data_dir: open_split(split, splits),
        prepare=prepare,
    )


def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
    """Nothing to do: the images are made when they are read."""
    del data_dir
    say('pairs of digits: made from the scans that scikit-learn carries, there is nothing to prepare')


@dataclass(frozen=True)
class Pairs(Generated):
    """Rows of a split."""

    def make(self, row: int) -> dict[str, Any]:
        scans, classes = scans_of(self.split)
        rng = np.random.default_rng([self.split == 'test', row])
        image = np.zeros((SIDE, SIDE, 1), np.uint8)
        labels = np.zeros(10, bool)
        for left in (0, SIDE // 2):
            number, top = int(rng.integers(len(scans))), int(rng.integers(SIDE - SCAN + 1))
            image[top : top + SCAN, left : left + SCAN] = scans[number]
            labels[classes[number]] = True
        return {'image': image, 'labels': labels}


def open_split(split: str, splits: dict[str, int]) -> Pairs:
    """The rows of a split; CnnJaxError for one that is not there."""
    if split not in splits:
        raise CnnJaxError(f'split: {split!r} is not one of {", ".join(splits)}')
    return Pairs(split, splits[split])


@functools.cache
def scans_of(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The scans of a split of `digits`, uint8 (scans, 16, 16, 1), two by two pixels a value; and their classes."""
    pairs = list(digits.examples(split))
    small = np.stack([image[4:-4:3, 4:-4:3] for image, _ in pairs])  # (scans, 8, 8, 1), without the enlargement
    return small.repeat(2, axis=1).repeat(2, axis=2), np.array([label for _, label in pairs])
