"""Made-up images, for smoke tests and speed: no set of anything, and no accuracy on it means anything."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.formats.generated import Generated
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError

NOISE = {'train': 2, 'test': 1, 'validation': 3}  # the stream of each split's noise


@dataclass(frozen=True)
class SyntheticSource(Generated):
    """Row i is its class's pattern under noise, so that a loss can fall; a pure function of (split, i)."""

    image_shape: tuple[int, int, int]
    num_classes: int

    def make(self, row: int) -> dict[str, Any]:
        label = row % self.num_classes
        pattern = np.random.default_rng([0, label]).integers(0, 192, self.image_shape, np.uint8)
        noise = np.random.default_rng([NOISE[self.split], row]).integers(0, 64, self.image_shape, np.uint8)
        return {'image': pattern + noise, 'label': label}


def load(
    *,
    batch_size: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int | None = None,
    num_train: int = 256,
    num_test: int = 64,
    num_validation: int = 0,
    class_names: tuple[str, ...] | None = None,
) -> Data:
    """Made-up images of any shape, made when they are read: no files. Its name says SYNTHETIC wherever it is shown.

    num_classes: None: as many as there are `class_names`, else 10.

    Raises: CnnJaxError: another number of classes than of their names.
    """
    count = (len(class_names or ()) or 10) if num_classes is None else num_classes
    if class_names is not None and len(class_names) != count:
        raise CnnJaxError(f'num_classes: got {num_classes} and {len(class_names)} class_names; leave one of them out')
    splits = {'train': num_train, 'test': num_test}
    splits |= {'validation': num_validation} if num_validation else {}

    def open_split(split: str, data_dir: Path) -> SyntheticSource:
        return SyntheticSource(split, splits[split], image_shape, count)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        say('SYNTHETIC data: made up when read, there is nothing to prepare')

    return Data(
        name='SYNTHETIC (made-up images)',
        batch_size=batch_size,
        splits=splits,
        class_names=class_names or tuple(f'class {number}' for number in range(count)),
        image_shape=image_shape,
        open=open_split,
        prepare=prepare,
    )
