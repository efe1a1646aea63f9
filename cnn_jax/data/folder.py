"""A folder of your own images: `folder/<class>/name.jpg`, with or without folders for training and testing above."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnn_jax.data.formats import crops, image, shards, tree
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.data.formats.tree import Item
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import CnnJaxError, DataError

TEST_NAMES = ('test', 'val', 'validation')  # of the folder beside `train`

Splits = dict[str, list[Item]]


def load(
    *,
    batch_size: int,
    folder: str,
    image_size: int = 224,
    resize: int = 256,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    crop: crops.Crop = crops.random_resized,
    max_bad_images: float = 0.001,
    max_pixels: int = image.MAX_PIXELS,
    repeats: int = 1,
) -> Data:
    """The images of `folder`, uint8 (image_size, image_size, 3): a random crop in training, else the centre.

    Either `folder/train/<class>/*` and `folder/{test, val or validation}/<class>/*`, or `folder/<class>/*`, of which
    `test_fraction` of each class, at least one image, is kept for testing, chosen by `split_seed` and the names.

    This source alone lists its files at once, since nothing else knows the classes. Its ArrayRecord copy is made below
    `data_dir` at first use, and again when the files have changed.

    Raises:
        DataError: no folder, no images, a class without any, or a class that only one of the two splits has.
    """
    decoding = Decoding(image_size, resize, crop, max_pixels, max_bad_images)
    root = Path(folder).expanduser()
    classes, splits = _list(root, test_fraction, split_seed)
    identity = hashlib.sha256(f'{root.resolve()}\n{test_fraction}\n{split_seed}'.encode()).hexdigest()[:8]
    name = f'cnn_jax_folder_{identity}'

    def build(data_dir: Path, say: Callable[[str], None]) -> Path:
        return shards.build(name, data_dir, splits, class_names=classes, say=say, decoding=decoding)

    def open_split(split: str, data_dir: Path) -> Source:
        return EncodedSource(build(data_dir, lambda line: None), split, decoding)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        say(f'folder: {len(classes):,} classes in {root}')
        where = build(data_dir, say)
        for split in splits:
            say(f'folder {split}: {len(EncodedSource(where, split, decoding)):,} images in {where}')

    return Data(
        name=f'folder {root.name}',
        batch_size=batch_size,
        splits={split: len(items) for split, items in splits.items()},
        class_names=classes,
        image_shape=(image_size, image_size, 3),
        open=open_split,
        prepare=prepare,
        decode=decoding.centre,
        streamed=True,
        repeats=repeats,
    )


def _list(root: Path, test_fraction: float, split_seed: int) -> tuple[tuple[str, ...], Splits]:
    folders = tree.class_folders(root)
    if 'train' in folders:
        return _list_splits(root, next((name for name in TEST_NAMES if name in folders), None))
    if len(folders) < 2:
        raise DataError(f'class folders in {root}: {len(folders)}, needed are at least 2: {root}/<class>/<image>.jpg')
    items = tree.list_classes(root, folders)
    return tuple(folders), _divide(items, test_fraction, split_seed)


def _list_splits(root: Path, test: str | None) -> tuple[tuple[str, ...], Splits]:
    if test is None:
        raise DataError(f'{root} has a folder train, but none of {", ".join(TEST_NAMES)} beside it; add one')
    classes, others = tree.class_folders(root / 'train'), tree.class_folders(root / test)
    if different := sorted({*classes} ^ {*others}):
        raise DataError(
            f'the classes of {root / "train"} and {root / test} differ: {", ".join(different[:5])}'
            f'{" and more" if len(different) > 5 else ""} in one only; make them the same'
        )
    if len(classes) < 2:
        raise DataError(f'class folders in {root / "train"}: {len(classes)}, needed are at least 2')
    return tuple(classes), {
        'train': tree.list_classes(root / 'train', classes),
        'test': tree.list_classes(root / test, classes),
    }


def _divide(items: list[Item], test_fraction: float, seed: int) -> Splits:
    """Some images of each class for testing; which, only the seed and their number decide."""
    if not 0 < test_fraction < 1:
        raise CnnJaxError(f'test_fraction: got {test_fraction}; it is a share between 0 and 1')
    labels = np.array([item.label for item in items])
    test = np.zeros(len(items), bool)
    for label in range(labels.max() + 1):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            name = items[rows[0]].path.parent
            raise DataError(f'the class folder {name} has one image; training and testing need one each, at least')
        count = min(len(rows) - 1, max(1, round(test_fraction * len(rows))))
        words = np.random.Philox(key=np.array([seed, label], np.uint64)).random_raw(len(rows))
        test[rows[np.argsort(words, kind='stable')[:count]]] = True
    return {
        'train': [item for item, chosen in zip(items, test, strict=True) if not chosen],
        'test': [item for item, chosen in zip(items, test, strict=True) if chosen],
    }
