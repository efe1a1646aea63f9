"""Two of scikit-learn's digits on one image: real scans, generated layout; needs no download and no file.

A pure function of (split, row): the left digit and the right one, each somewhere in its half. The splits take their
scans from those of `digits`, so no scan is in two of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data import digits
from cnn_jax.data.formats.fields import Field
from cnn_jax.data.formats.generated import Generated
from cnn_jax.data.held_out import Part, num_folds
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError

SPLITS = {'train': 5000, 'test': 1000}
STREAM = {'train': 0, 'test': 1, 'validation': 2}  # of the numbers that place the digits
SIDE, SCAN = 32, 16  # pixels of the image and of a scan on it


def load(
    *,
    batch_size: int,
    num_train: int = SPLITS['train'],
    num_test: int = SPLITS['test'],
    validation: float = 0.1,
    fold: int = 0,
) -> Data:
    """Pairs of digits, uint8 (32, 32, 1), 0 is paper and 255 is ink; `labels` bool (10,): the digits that are there.

    Both digits may be the same: a tenth of the images has one label. `validation`: the share of the scans for training
    that is held out to choose by, and how many validation images there are for each one to train on; 0 for none.
    `fold`: which share.
    """
    part, folds = Part(validation, fold), num_folds(validation)
    splits = {'train': num_train, 'validation': round(validation * num_train), 'test': num_test}
    splits = {split: count for split, count in splits.items() if count}
    return Data(
        name='pairs of digits',
        batch_size=batch_size,
        splits=splits,
        class_names=digits.CLASS_NAMES,
        image_shape=(SIDE, SIDE, 1),
        fields={'labels': Field('bool', (10,))},
        open=lambda split, data_dir: open_split(split, splits, part),
        prepare=prepare,
        folds=folds,
        fold=fold,
        make_fold=lambda fold: load(
            batch_size=batch_size, num_train=num_train, num_test=num_test, validation=validation, fold=fold
        ),
    )


def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
    """Nothing to do: the images are made when they are read."""
    del data_dir
    say('pairs of digits: made from the scans that scikit-learn carries, there is nothing to prepare')


@dataclass(frozen=True)
class Pairs(Generated):
    """Rows of a split; `part` of the scans for training is for validation."""

    part: Part

    def make(self, row: int) -> dict[str, Any]:
        scans, classes = digits.scans_of(self.split, self.part)
        rng = np.random.default_rng([STREAM[self.split], row])
        image = np.zeros((SIDE, SIDE, 1), np.uint8)
        labels = np.zeros(10, bool)
        for left in (0, SIDE // 2):
            number, top = int(rng.integers(len(scans))), int(rng.integers(SIDE - SCAN + 1))
            scan = scans[number].repeat(2, axis=0).repeat(2, axis=1)  # two by two pixels a value
            image[top : top + SCAN, left : left + SCAN, 0] = scan
            labels[classes[number]] = True
        return {'image': image, 'labels': labels}


def open_split(split: str, splits: dict[str, int], part: Part) -> Pairs:
    """The rows of a split; CnnJaxError for one that is not there."""
    if split not in splits:
        raise CnnJaxError(f'split: {split!r} is not one of {", ".join(splits)}')
    return Pairs(split, splits[split], part)
