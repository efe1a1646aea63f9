"""Outlines: an `.npz` file of small drawings of shapes that the user supplies, as a lab has many."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from cnn_jax.data.held_out import hold_out
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import DataError
from cnn_jax.files.archive import BadArchive, read_npz

NAME = 'outlines'  # of the folder
FILE = 'outlines.npz'
SPLITS = {'train': 60, 'test': 20}
CLASS_NAMES = ('bar', 'cross', 'frame', 'disc')  # from the least ink to the most
IMAGE_SHAPE = (32, 32, 1)


def load(*, batch_size: int, validation: float = 0.1) -> Data:
    """Drawings in white on black, uint8 (32, 32, 1); of those to train on the share `validation` is held out.

    The user puts `outlines.npz` into `data_dir/outlines`: `train_images` and `test_images`, uint8 (n, 32, 32, 1), and
    `train_labels` and `test_labels`, int (n,).
    """
    data = Data(
        name=NAME,
        batch_size=batch_size,
        splits=dict(SPLITS),
        class_names=CLASS_NAMES,
        image_shape=IMAGE_SHAPE,
        open=_open,
        prepare=_prepare,
    )
    return hold_out(data, validation)


def _open(split: str, data_dir: Path) -> Source:
    arrays = _read(data_dir / NAME / FILE, split)
    images, labels = arrays[f'{split}_images'], arrays[f'{split}_labels'].tolist()
    return [{'image': image, 'label': label} for image, label in zip(images, labels, strict=True)]


def _read(file: Path, split: str) -> Mapping[str, np.ndarray]:
    wanted = [f'{split}_images', f'{split}_labels']
    try:
        arrays = read_npz(file, lambda there: wanted)
    except (OSError, BadArchive, KeyError) as error:
        raise DataError(
            f'{file} cannot be read ({type(error).__name__}); put {FILE} with the arrays {" and ".join(wanted)} there, '
            'or say with --data_dir where it is'
        ) from error
    return arrays


def _prepare(data_dir: Path, say: Callable[[str], None]) -> None:
    for split in SPLITS:
        say(f'outlines {split}: {len(_open(split, data_dir))} images')


def write_small(folder: Path) -> None:
    """What the user supplies, drawn here, written into `folder`."""
    rng, arrays = np.random.default_rng(0), {}
    for split, count in SPLITS.items():
        labels = np.arange(count) % len(CLASS_NAMES)
        arrays |= {f'{split}_images': np.stack([_drawn(label, rng) for label in labels]), f'{split}_labels': labels}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / FILE, **arrays)


def _drawn(label: int, rng: np.random.Generator) -> np.ndarray:
    row, column = rng.integers(8, 24, 2)
    down, across = np.abs(np.ogrid[:32, :32][0] - row), np.abs(np.ogrid[:32, :32][1] - column)
    shapes = (
        (down <= 1) & (across <= 6),
        ((down <= 1) & (across <= 6)) | ((across <= 1) & (down <= 6)),
        (np.maximum(down, across) <= 6) & (np.maximum(down, across) >= 4),
        down**2 + across**2 <= 49,
    )
    return np.where(shapes[label], 255, 0).astype(np.uint8)[..., None]
